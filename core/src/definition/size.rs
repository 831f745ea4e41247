//! Numbers of bytes as people write them: `500MB`, `10GiB`.

/// The largest that a definition or a flag may ask for: a thousand TiB.
const LARGEST: u64 = 1000 << 40;

const FORMS: &str = "write a number with a unit, such as 500MB (powers of 1000) or 10GiB (powers of 1024)";

/// Units and their bytes, the largest of each kind first.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Why a text is no size: a sentence and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SizeError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl std::fmt::Display for SizeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

impl std::error::Error for SizeError {}

/// Reads `0`, `800B`, `500MB`, `10GiB`: a whole number and a unit, in bytes. The case of the unit does not matter.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let fail = |message: String, help: &str| SizeError { message, help: help.to_owned() };
    let text = text.trim();
    if text == "0" {
        return Ok(0);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    if digits > 0 && unit.is_empty() {
        let help = format!("write {text}MB, {text}GiB or {text}B");
        return Err(SizeError { message: format!("the size \"{text}\" has no unit"), help });
    }
    let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor);
    let (Some(factor), Ok(number)) = (factor, number.parse::<u64>()) else {
        return Err(fail(format!("\"{text}\" is not a size"), FORMS));
    };
    match number.checked_mul(factor) {
        Some(bytes) if bytes <= LARGEST => Ok(bytes),
        _ => Err(fail(format!("\"{text}\" is more than 1000TiB"), FORMS)),
    }
}

/// A size for people: `812 B`, `1.5 MiB`.
pub fn format_size(bytes: u64) -> String {
    for (unit, factor) in &UNITS[..4] {
        if bytes >= *factor {
            // In tenths, rounded down: what is over a limit must not look as if it were not.
            let tenths = u128::from(bytes) * 10 / u128::from(*factor);
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                tenth => format!("{}.{tenth} {unit}", tenths / 10),
            };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit_in_any_case() {
        for (text, bytes) in [
            ("0", 0),
            ("800B", 800),
            ("1KB", 1000),
            ("1kib", 1024),
            ("500MB", 500_000_000),
            ("10 GiB", 10 << 30),
            ("2TB", 2_000_000_000_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_explained() {
        let message = |text: &str| parse_size(text).unwrap_err();
        assert!(message("10").help.contains("10GiB"));
        for text in ["", "GB", "ten GB", "-1GB", "1.5GB", "1GX"] {
            assert!(message(text).message.ends_with("is not a size"), "{text}");
        }
        for text in ["1001TiB", "99999999999TiB"] {
            assert!(message(text).message.ends_with("is more than 1000TiB"), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        assert_eq!(format_size(0), "0 B");
        assert_eq!(format_size(1023), "1023 B");
        assert_eq!(format_size(1536), "1.5 KiB");
        assert_eq!(format_size(20 << 30), "20 GiB");
    }
}
