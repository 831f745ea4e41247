//! Durations as people write them: `250ms`, `90s`, `15m`, `2h30m`, `7d`.

use std::time::Duration;

/// The longest that a definition may ask for: ten years.
const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

const FORMS: &str = "write a number with a unit, such as 250ms, 90s, 15m, 2h30m or 7d";

/// Why a text is no duration: a sentence and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurationError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// Reads `250ms`, `90s`, `15m`, `2h30m`, `7d`: whole numbers with units, the larger unit first.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let fail = |message: String, help: &str| DurationError { message, help: help.to_owned() };
    let text = text.trim();
    if text.is_empty() {
        return Err(fail("a duration is empty".to_owned(), FORMS));
    }
    if text.starts_with('-') {
        return Err(fail(
            format!("a duration cannot be negative, and \"{text}\" is"),
            "leave the key out for its default; `-1` does not mean \"no limit\" here",
        ));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DurationError {
            message: format!("the duration \"{text}\" has no unit"),
            help: format!("write {text}s for seconds, {text}m for minutes or {text}ms for milliseconds"),
        });
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    let mut larger = u64::MAX;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let (Ok(number), Some(millis)) = (number.parse::<u64>(), unit_millis(unit)) else {
            return Err(fail(format!("\"{text}\" is not a duration"), FORMS));
        };
        if millis >= larger {
            return Err(fail(format!("\"{text}\" is not a duration: units go from large to small, each once"), FORMS));
        }
        larger = millis;
        total = total.saturating_add(Duration::from_millis(number.saturating_mul(millis)));
        rest = after;
    }
    if total > LONGEST {
        return Err(fail(format!("\"{text}\" is longer than ten years"), "the longest duration is 3650d"));
    }
    Ok(total)
}

fn unit_millis(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    })
}

/// The same notation, from an exact number of milliseconds.
pub fn format_duration(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if millis >= size {
            text.push_str(&(millis / size).to_string());
            text.push_str(unit);
            millis %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms_are_read_and_written_back() {
        for (text, millis) in
            [("250ms", 250), ("90s", 90_000), ("15m", 900_000), ("2h30m", 9_000_000), ("7d", 604_800_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(
                parse_duration(&format_duration(Duration::from_millis(millis))),
                Ok(Duration::from_millis(millis))
            );
        }
        assert_eq!(format_duration(Duration::from_secs(90)), "1m30s");
    }

    #[test]
    fn what_is_no_duration_is_explained() {
        let message = |text: &str| parse_duration(text).unwrap_err();
        assert!(message("-1").help.contains("does not mean \"no limit\""));
        assert!(message("90").help.contains("90s"));
        assert_eq!(message("5 minutes").message, "\"5 minutes\" is not a duration");
        assert!(message("30m2h").message.contains("large to small"));
        assert!(message("1h1h").message.contains("each once"));
        assert!(message("99999999d").message.contains("ten years"));
        assert!(message("99999999999999999999d").message.contains("not a duration"));
    }
}
