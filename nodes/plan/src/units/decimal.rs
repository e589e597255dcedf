//! An exact decimal number at the start of a text: `1.5k/s` is 1.5 and `k/s`.

/// `mantissa / 10^scale`, exactly as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decimal {
    pub(super) negative: bool,
    mantissa: u128,
    scale: u32,
}

/// More digits than this are refused, so that nothing overflows.
const DIGITS_MAX: usize = 30;

impl Decimal {
    /// The number at the start, and what follows it. A point needs digits on both sides.
    pub(super) fn take(text: &str) -> Option<(Self, &str)> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, rest) = split_digits(digits);
        let (fraction, rest) = match rest.strip_prefix('.') {
            Some(after) => match split_digits(after) {
                ("", _) => return None,
                split => split,
            },
            None => ("", rest),
        };
        if whole.is_empty() || whole.len().saturating_add(fraction.len()) > DIGITS_MAX {
            return None;
        }
        let mut mantissa = 0_u128;
        for digit in whole.chars().chain(fraction.chars()) {
            mantissa = mantissa.checked_mul(10)?.checked_add(u128::from(digit.to_digit(10)?))?;
        }
        Some((Self { negative, mantissa, scale: u32::try_from(fraction.len()).ok()? }, rest))
    }

    /// The number times `factor`, where that is whole.
    pub(super) fn times(self, factor: u128) -> Option<u128> {
        let product = self.mantissa.checked_mul(factor)?;
        let divisor = 10_u128.checked_pow(self.scale)?;
        (product.checked_rem(divisor)? == 0).then(|| product.checked_div(divisor)).flatten()
    }

    /// The nearest `f64` of the number times `factor`.
    pub(super) fn times_f64(self, factor: u128) -> Option<f64> {
        // Through text: the standard parser rounds once, from the exact digits.
        let value: f64 = format!("{}e-{}", self.mantissa.checked_mul(factor)?, self.scale).parse().ok()?;
        Some(if self.negative { -value } else { value })
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn a_number_ends_where_its_digits_end() {
        let (number, rest) = Decimal::take("1.5k/s").unwrap();
        assert_eq!((number.times(1000), rest), (Some(1500), "k/s"));
        assert!(Decimal::take("-7").unwrap().0.negative);
    }

    #[test]
    fn a_point_needs_digits_on_both_sides() {
        for text in ["", ".", "1.", ".5", "-", "--1", "x1", "+1", "1.s"] {
            assert_eq!(Decimal::take(text), None, "{text}");
        }
    }

    #[test]
    fn a_product_that_is_not_whole_is_none() {
        assert_eq!(Decimal::take("0.5").unwrap().0.times(1), None);
        assert_eq!(Decimal::take("0.5").unwrap().0.times(2), Some(1));
    }

    #[test]
    fn too_many_digits_are_refused_rather_than_rounded() {
        assert_eq!(Decimal::take(&"9".repeat(31)), None);
        assert!(Decimal::take(&"9".repeat(30)).is_some());
        assert_eq!(Decimal::take(&"9".repeat(30)).unwrap().0.times(u128::MAX), None);
    }
}
