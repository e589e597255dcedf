//! What travels: bytes in slots that are used again, so a warm run allocates nothing.

/// What a parcel is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A datagram to the membership port (0) or the out-of-band port (1).
    Datagram {
        port: u8,
    },
    /// Over TCP: a member list; `asks` for the receiver's own.
    List {
        asks: bool,
    },
    /// Over TCP: a dial, and that it was answered.
    Dial {
        dial: u32,
    },
    DialAnswer {
        dial: u32,
    },
}

/// Bytes on their way.
#[derive(Debug)]
pub struct Parcel {
    pub from: u32,
    pub what: What,
    pub bytes: Vec<u8>,
}

/// All parcels on their way.
#[derive(Debug, Default)]
pub struct Parcels {
    slots: Vec<Parcel>,
    free: Vec<u32>,
}

impl Parcels {
    /// A parcel with these bytes.
    #[expect(clippy::cast_possible_truncation, reason = "never 2^32 parcels at once")]
    pub fn put(&mut self, from: u32, what: What, bytes: &[u8]) -> u32 {
        if let Some(slot) = self.free.pop() {
            let parcel = &mut self.slots[slot as usize];
            parcel.from = from;
            parcel.what = what;
            parcel.bytes.clear();
            parcel.bytes.extend_from_slice(bytes);
            slot
        } else {
            self.slots.push(Parcel { from, what, bytes: bytes.to_vec() });
            (self.slots.len() - 1) as u32
        }
    }

    /// A copy of a parcel.
    pub fn again(&mut self, slot: u32) -> u32 {
        let parcel = &mut self.slots[slot as usize];
        let (from, what, bytes) = (parcel.from, parcel.what, std::mem::take(&mut parcel.bytes));
        let copy = self.put(from, what, &bytes);
        self.slots[slot as usize].bytes = bytes;
        copy
    }

    /// One parcel.
    #[must_use]
    pub fn get(&self, slot: u32) -> &Parcel {
        &self.slots[slot as usize]
    }

    /// The bytes of a parcel, for as long as they are read; [`Parcels::give_back`] ends that.
    pub fn lend(&mut self, slot: u32) -> Vec<u8> {
        std::mem::take(&mut self.slots[slot as usize].bytes)
    }

    /// Takes lent bytes back and frees the slot.
    pub fn give_back(&mut self, slot: u32, bytes: Vec<u8>) {
        self.slots[slot as usize].bytes = bytes;
        self.free.push(slot);
    }

    /// Frees a slot.
    pub fn drop_parcel(&mut self, slot: u32) {
        self.free.push(slot);
    }
}
