//! The chunked coding (RFC 9112, 7.1): only its end is looked for; extensions and trailers are skipped.

use hyperscale_codec::messages::ErrorKind;

use super::HEAD_BYTES_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Line,
    Trailer,
    End,
}

/// Where a chunked body stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunked {
    at: At,
    digits: u8,
    /// Bytes of extensions and trailers so far.
    extra: u32,
    /// The size being read, then what is left of the chunk.
    left: u64,
}

impl Chunked {
    /// Before its first byte.
    pub const START: Self = Self { at: At::Size, digits: 0, extra: 0, left: 0 };

    /// Takes bytes in; `Some(n)` when the body ended after `n` of them.
    ///
    /// # Errors
    /// What is no chunked body, or has too long extensions and trailers.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, ErrorKind> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match (self.at, byte) {
                (At::Data, _) => rest = self.skip_data(rest),
                (At::Size, b'\r') if self.digits > 0 => self.at = At::SizeEnd,
                (At::Size, b'\n') if self.digits > 0 => self.end_size(),
                (At::Size, b';' | b' ' | b'\t') if self.digits > 0 => self.at = At::Extension,
                (At::Size, _) => self.push_digit(byte)?,
                (At::Extension, b'\n') | (At::SizeEnd, b'\n') => self.end_size(),
                (At::DataCr, b'\r') => self.at = At::DataLf,
                (At::DataCr | At::DataLf, b'\n') => self.start_size(),
                (At::Line, b'\r') => self.at = At::End,
                (At::Line | At::End, b'\n') => return Ok(Some(bytes.len().saturating_sub(rest.len()))),
                (At::Trailer, b'\n') => self.at = At::Line,
                (At::Extension | At::Trailer, _) => self.count_extra()?,
                (At::Line, _) => {
                    self.at = At::Trailer;
                    self.count_extra()?;
                }
                (At::SizeEnd | At::DataCr | At::DataLf | At::End, _) => return Err(ErrorKind::BadResponse),
            }
        }
        Ok(None)
    }

    /// One byte of the chunk was taken already.
    fn skip_data<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let more = self.left.saturating_sub(1);
        let skipped = usize::try_from(more).unwrap_or(usize::MAX).min(rest.len());
        self.left = more.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
        if self.left == 0 {
            self.at = At::DataCr;
        }
        rest.get(skipped..).unwrap_or_default()
    }

    fn start_size(&mut self) {
        (self.at, self.digits, self.left) = (At::Size, 0, 0);
    }

    fn end_size(&mut self) {
        self.at = if self.left == 0 { At::Line } else { At::Data };
    }

    fn push_digit(&mut self, byte: u8) -> Result<(), ErrorKind> {
        let digit = char::from(byte).to_digit(16).ok_or(ErrorKind::BadResponse)?;
        // Leading zeros are legal, but not without end.
        self.digits = self.digits.checked_add(1).filter(|&n| n <= 32).ok_or(ErrorKind::BadResponse)?;
        let shifted = self.left.checked_mul(16).ok_or(ErrorKind::BadResponse)?;
        self.left = shifted.saturating_add(u64::from(digit));
        Ok(())
    }

    fn count_extra(&mut self) -> Result<(), ErrorKind> {
        self.extra = self.extra.saturating_add(1);
        let within = usize::try_from(self.extra).is_ok_and(|extra| extra <= HEAD_BYTES_MAX);
        if within { Ok(()) } else { Err(ErrorKind::TooLarge) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(text: &str) -> Result<Option<usize>, ErrorKind> {
        let mut body = Chunked::START;
        body.feed(text.as_bytes())
    }

    #[test]
    fn extensions_and_trailers_are_skipped() {
        let body = "5;a=\"b\"\r\nhello\r\n0005 ; c\r\nworld\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\n";
        assert_eq!(feed(&format!("{body}HTTP")), Ok(Some(body.len())));
    }

    #[test]
    fn what_is_no_size_is_a_bad_response() {
        for text in
            ["\r\n", "g\r\n", "-1\r\n", "1\rx", "1\r\nab", "1\r\na\rx", "0\r\n\rx", "11111111111111111\r\n"]
        {
            assert_eq!(feed(text), Err(ErrorKind::BadResponse), "{text:?}");
        }
    }

    #[test]
    fn endless_extensions_and_trailers_are_too_large() {
        let long = "x".repeat(HEAD_BYTES_MAX + 1);
        assert_eq!(feed(&format!("1;{long}")), Err(ErrorKind::TooLarge));
        assert_eq!(feed(&format!("0\r\n{long}")), Err(ErrorKind::TooLarge));
    }
}
