//! What a node keeps of a job's windows (`spec.md` 7): the last minute window by window, the last hour in aggregates of
//! 10 s, the last day in aggregates of a minute with half the histograms' resolution, and the rest in one cell.
//!
//! In: merged windows and the clock. Out: sums over a range of windows. A window moves on by its own index, not by when
//! it came, into the aggregate that covers it; a tier that is full moves its oldest early; a window that is older than
//! a tier goes on to the one that covers it. So nothing is ever refused or dropped, and count, sum, minimum and maximum
//! over all tiers are those of all that was put in: what is lost is resolution. Bounded by the tiers' entries, and in
//! bytes by [`StatsBuffer::relieve`].

mod arena;
mod packed;
mod pages;

use std::collections::VecDeque;
use std::time::Duration;

use hyperscale_core::Instant;

use crate::CellSet;
use arena::{Arena, Run};
pub use pages::{PageOf, Row};

/// Room for the packed windows that are at hand, from the first: a warm buffer allocates a chunk now and then, no more.
const AT_HAND: usize = 16 << 10;
/// The coarsest histograms: one bucket for each power of two.
const COARSEST: u32 = 7;

/// Where a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatsTier {
    /// Windows as they came.
    Hot,
    /// Aggregates of 10 s.
    Warm,
    /// Aggregates of a minute.
    Cold,
    /// Everything older.
    Archive,
}

impl StatsTier {
    /// Every tier, from the newest.
    pub const ALL: [Self; 4] = [Self::Hot, Self::Warm, Self::Cold, Self::Archive];

    /// The word metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Warm => "warm",
            Self::Cold => "cold",
            Self::Archive => "archive",
        }
    }

    /// Its number in messages.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::Hot => 1,
            Self::Warm => 2,
            Self::Cold => 3,
            Self::Archive => 4,
        }
    }

    /// Reads such a number.
    #[must_use]
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.to_wire() == number)
    }

    /// Entries at most.
    #[must_use]
    pub const fn entries_max(self) -> usize {
        match self {
            Self::Hot => 1_000,
            Self::Warm => 360,
            Self::Cold => 1_440,
            Self::Archive => 1,
        }
    }

    /// How long after its end an entry stays.
    const fn stays_ms(self) -> u64 {
        match self {
            Self::Hot => 60_000,
            Self::Warm => 3_600_000,
            Self::Cold => 86_400_000,
            Self::Archive => u64::MAX,
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Hot => Self::Warm,
            Self::Warm => Self::Cold,
            Self::Cold | Self::Archive => Self::Archive,
        }
    }
}

/// The windows of one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First window.
    pub from: u32,
    /// Last window.
    pub to: u32,
}

impl Span {
    fn join(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }

    /// Whether any window is in both.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    span: Span,
    run: Run,
}

/// The windows of one job on one node.
#[derive(Debug)]
pub struct StatsBuffer {
    window_ms: u64,
    /// Steps of each workflow.
    steps: Vec<usize>,
    /// Rows of all workflows: their steps, and one for the iterations of each.
    rows: usize,
    hot: VecDeque<Entry>,
    warm: VecDeque<Entry>,
    cold: VecDeque<Entry>,
    archive: VecDeque<Entry>,
    arena: Arena,
    /// The last window of all, and when it came.
    newest: Option<(u32, Instant)>,
    /// Histograms of the cold tier have `2^-coarser` of the resolution.
    coarser: u32,
    at_hand: [Vec<u8>; 3],
}

impl StatsBuffer {
    /// For a plan whose workflows have so many steps each, and windows of this length.
    #[must_use]
    pub fn new(steps: &[usize], window: Duration) -> Self {
        Self {
            window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1),
            steps: steps.to_vec(),
            rows: steps.iter().map(|steps| steps.saturating_add(1)).sum(),
            hot: VecDeque::new(),
            warm: VecDeque::new(),
            cold: VecDeque::new(),
            archive: VecDeque::new(),
            arena: Arena::default(),
            newest: None,
            coarser: 1,
            at_hand: [Vec::new(), Vec::new(), Vec::new()],
        }
    }

    /// Puts merged windows in, a set a workflow; adds them to what is there of the same ones.
    pub fn insert(&mut self, now: Instant, span: Span, workflows: &[CellSet]) {
        if self.newest.is_none() {
            self.make_room();
        }
        if self.now_window(now) <= u64::from(span.to) {
            self.newest = Some((span.to, now));
        }
        let [packed, ..] = &mut self.at_hand;
        packed::pack(workflows, packed);
        let run = self.arena.store(packed);
        let tier = self.tier_of(span, now);
        self.place(tier, Entry { span, run });
        self.promote(now);
    }

    /// Moves on what is too old for its tier; about once a second, and on each insert.
    pub fn promote(&mut self, now: Instant) {
        for tier in [StatsTier::Hot, StatsTier::Warm, StatsTier::Cold] {
            while let Some(entry) = self.tier(tier).front().copied()
                && self.is_too_old(tier, entry.span, now)
            {
                self.promote_oldest(tier);
            }
        }
    }

    /// So that a buffer that has begun does not grow its lists.
    fn make_room(&mut self) {
        let windows = 60_000_u64.checked_div(self.window_ms).unwrap_or(0).saturating_add(16);
        let hot = usize::try_from(windows).unwrap_or(usize::MAX).min(StatsTier::Hot.entries_max());
        self.hot.reserve(hot);
        self.warm.reserve(StatsTier::Warm.entries_max());
        self.cold.reserve(StatsTier::Cold.entries_max());
        self.archive.reserve(1);
        self.at_hand.iter_mut().for_each(|bytes| bytes.reserve(AT_HAND));
    }

    /// No window comes any more: lets go of room that was kept for more.
    pub fn close(&mut self) {
        for tier in [&mut self.hot, &mut self.warm, &mut self.cold, &mut self.archive] {
            tier.shrink_to_fit();
        }
        self.at_hand.iter_mut().for_each(|bytes| *bytes = Vec::new());
    }

    /// The window that is last now: the last that came, and those that went by since.
    fn now_window(&self, now: Instant) -> u64 {
        self.newest.map_or(0, |(newest, at)| {
            let since = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
            u64::from(newest).saturating_add(since.checked_div(self.window_ms).unwrap_or(0))
        })
    }

    /// Which aggregate of a tier a window is in. Those of a tier lie whole in one of the next.
    fn slot(&self, tier: StatsTier, span: Span) -> u64 {
        let start_ms = u64::from(span.to).saturating_mul(self.window_ms);
        match tier {
            StatsTier::Hot => span.to.into(),
            StatsTier::Warm => start_ms / 10_000,
            StatsTier::Cold => start_ms / 60_000,
            StatsTier::Archive => 0,
        }
    }

    fn is_too_old(&self, tier: StatsTier, span: Span, now: Instant) -> bool {
        let length_ms = match tier {
            StatsTier::Hot => self.window_ms,
            StatsTier::Warm => 10_000,
            StatsTier::Cold => 60_000,
            StatsTier::Archive => return false,
        };
        let end_ms = self.slot(tier, span).saturating_add(1).saturating_mul(length_ms);
        let now_ms = self.now_window(now).saturating_add(1).saturating_mul(self.window_ms);
        now_ms.saturating_sub(end_ms) > tier.stays_ms()
    }

    fn tier_of(&self, span: Span, now: Instant) -> StatsTier {
        let fits = |tier: &StatsTier| !self.is_too_old(*tier, span, now);
        StatsTier::ALL.into_iter().find(fits).unwrap_or(StatsTier::Archive)
    }

    fn tier(&self, tier: StatsTier) -> &VecDeque<Entry> {
        match tier {
            StatsTier::Hot => &self.hot,
            StatsTier::Warm => &self.warm,
            StatsTier::Cold => &self.cold,
            StatsTier::Archive => &self.archive,
        }
    }

    fn tier_mut(&mut self, tier: StatsTier) -> &mut VecDeque<Entry> {
        match tier {
            StatsTier::Hot => &mut self.hot,
            StatsTier::Warm => &mut self.warm,
            StatsTier::Cold => &mut self.cold,
            StatsTier::Archive => &mut self.archive,
        }
    }

    fn place(&mut self, tier: StatsTier, entry: Entry) {
        let slot = self.slot(tier, entry.span);
        let entries = self.tier(tier);
        // Mostly it is the newest or the one before.
        let after = entries.iter().rposition(|held| self.slot(tier, held.span) <= slot);
        let held = after.and_then(|at| entries.get(at)).copied();
        if let Some(held) = held.filter(|held| self.slot(tier, held.span) == slot) {
            let joined = self.join(tier, held, entry);
            if let Some(place) = after.and_then(|at| self.tier_mut(tier).get_mut(at)) {
                *place = joined;
            }
            return;
        }
        let is_full = entries.len() >= tier.entries_max();
        match after {
            None if is_full => return self.place(tier.next(), entry),
            Some(_) if is_full => self.promote_oldest(tier),
            _ => {}
        }
        let at = after.map_or(0, |at| at.saturating_add(usize::from(!is_full)));
        let entry = if tier == StatsTier::Cold { self.coarsen(entry) } else { entry };
        self.tier_mut(tier).insert(at, entry);
    }

    fn promote_oldest(&mut self, tier: StatsTier) {
        if let Some(entry) = self.tier_mut(tier).pop_front() {
            self.place(tier.next(), entry);
        }
    }

    fn join(&mut self, tier: StatsTier, held: Entry, more: Entry) -> Entry {
        let coarser = if tier >= StatsTier::Cold { self.coarser } else { 0 };
        let [one, other, sum] = &mut self.at_hand;
        self.arena.load(held.run, one);
        self.arena.load(more.run, other);
        packed::merge(self.rows, (one, other), coarser, sum);
        self.arena.release(held.run);
        self.arena.release(more.run);
        Entry { span: held.span.join(more.span), run: self.arena.store(sum) }
    }

    fn coarsen(&mut self, entry: Entry) -> Entry {
        let [packed, _, coarse] = &mut self.at_hand;
        self.arena.load(entry.run, packed);
        packed::merge(self.rows, (packed, &[]), self.coarser, coarse);
        self.arena.release(entry.run);
        Entry { run: self.arena.store(coarse), ..entry }
    }

    /// Takes less memory: moves half of a tier on early, then halves the resolution of the histograms that are left.
    /// `false`: there is nothing more to give.
    pub fn relieve(&mut self) -> bool {
        for tier in [StatsTier::Hot, StatsTier::Warm] {
            let entries = self.tier(tier).len();
            if entries > 8 {
                (0..entries / 2).for_each(|_| self.promote_oldest(tier));
                return true;
            }
        }
        if self.coarser >= COARSEST {
            let entries = self.cold.len();
            (0..entries.div_ceil(2)).for_each(|_| self.promote_oldest(StatsTier::Cold));
            return entries > 0;
        }
        self.coarser = self.coarser.saturating_add(1);
        for tier in [StatsTier::Cold, StatsTier::Archive] {
            for at in 0..self.tier(tier).len() {
                let Some(entry) = self.tier(tier).get(at).copied() else { continue };
                let coarse = self.coarsen(entry);
                if let Some(place) = self.tier_mut(tier).get_mut(at) {
                    *place = coarse;
                }
            }
        }
        true
    }

    /// Bytes of what is held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let entries: usize = StatsTier::ALL.into_iter().map(|tier| self.entries(tier)).sum();
        self.arena.bytes().saturating_add(entries.saturating_mul(size_of::<Entry>()))
    }

    /// Entries of a tier.
    #[must_use]
    pub fn entries(&self, tier: StatsTier) -> usize {
        self.tier(tier).len()
    }

    /// What is held, from the oldest: where, and which windows.
    pub fn spans(&self) -> impl Iterator<Item = (StatsTier, Span)> + '_ {
        let tiers = StatsTier::ALL.into_iter().rev();
        tiers.flat_map(|tier| self.tier(tier).iter().map(move |entry| (tier, entry.span)))
    }

    /// Adds everything that has a window of `wanted` to `workflows`; the windows of all that was added, which may be
    /// more: an aggregate is not taken apart.
    pub fn read(&mut self, wanted: Span, workflows: &mut [CellSet]) -> Option<Span> {
        let mut all: Option<Span> = None;
        let Self { hot, warm, cold, archive, arena, at_hand: [packed, ..], .. } = self;
        for entry in [archive, cold, warm, hot].into_iter().flatten().filter(|entry| entry.span.meets(wanted))
        {
            arena.load(entry.run, packed);
            packed::unpack(packed, workflows);
            all = Some(all.map_or(entry.span, |all| all.join(entry.span)));
        }
        all
    }
}

/// Takes memory from the largest of these buffers, step by step, until all of them hold `bytes_max` at most. `false`:
/// there is nothing more to give.
pub fn relieve<'a>(bytes_max: usize, buffers: impl Iterator<Item = &'a mut StatsBuffer>) -> bool {
    let mut all: Vec<&mut StatsBuffer> = buffers.collect();
    loop {
        let held = all.iter().map(|buffer| buffer.bytes()).fold(0, usize::saturating_add);
        if held <= bytes_max {
            return true;
        }
        all.sort_by_key(|buffer| std::cmp::Reverse(buffer.bytes()));
        if !all.iter_mut().any(|buffer| buffer.relieve()) {
            return false;
        }
    }
}

#[cfg(test)]
mod tests;
