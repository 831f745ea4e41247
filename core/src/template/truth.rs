//! When a rendered condition holds.

/// Whether rendered text counts as true. False are, trimmed and in any case: empty, `false`, `0`, `no`, `off`, `none`, `null`,
/// `[]`, `{}`, and any number that is zero.
pub fn is_truthy(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    if matches!(text.as_str(), "" | "false" | "no" | "off" | "none" | "null" | "[]" | "{}") {
        return false;
    }
    text.parse::<f64>() != Ok(0.0)
}

#[cfg(test)]
mod tests {
    use super::is_truthy;

    #[test]
    fn falsy_words_are_false_in_any_case_and_with_blanks() {
        for text in ["", " ", "false", " False\n", "0", "0.0", "no", "OFF", "none", "None", "[]", "{}"] {
            assert!(!is_truthy(text), "{text:?}");
        }
    }

    #[test]
    fn everything_else_is_true() {
        for text in ["true", "1", "-1", "yes", "on", "x", "[0]", "falsehood", "nan"] {
            assert!(is_truthy(text), "{text:?}");
        }
    }
}
