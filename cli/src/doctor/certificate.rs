//! Until when a certificate is good.

use atta_core::time::UnixMillis;

/// `notAfter` of a certificate in DER (RFC 5280, 4.1); `None` when it cannot be read.
pub(super) fn not_after(der: &[u8]) -> Option<UnixMillis> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    // An explicit version comes first, then serial number, signature algorithm, issuer, validity.
    if element(fields)?.0 == 0xa0 {
        fields = element(fields)?.2;
    }
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (_, validity, _) = element(fields)?;
    let (kind, text, _) = element(element(validity)?.2)?;
    time(kind, std::str::from_utf8(text).ok()?)
}

/// Tag, content and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let count = usize::from(first & 0x7f);
        if count > 4 {
            return None;
        }
        length = rest.get(..count)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        rest = &rest[count..];
    }
    Some((tag, rest.get(..length)?, rest.get(length..)?))
}

/// `YYMMDDHHMMSSZ` (tag 23; until 2049) or `YYYYMMDDHHMMSSZ` (tag 24).
fn time(kind: u8, text: &str) -> Option<UnixMillis> {
    let digits = text.strip_suffix('Z')?;
    let (year, rest) = match kind {
        23 => {
            let year: i16 = digits.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, digits.get(2..)?)
        }
        24 => (digits.get(..4)?.parse().ok()?, digits.get(4..)?),
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let at = jiff::civil::DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(UnixMillis(at.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut all = vec![tag, 0x82];
        all.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        all.extend(content);
        all
    }

    fn certificate(version: bool, kind: u8, until: &str) -> Vec<u8> {
        let mut fields = if version { der(0xa0, &[2, 1, 2]) } else { Vec::new() };
        for _ in 0..3 {
            fields.extend(der(0x30, &[0; 300]));
        }
        fields.extend(der(0x30, &[der(23, b"200101000000Z"), der(kind, until.as_bytes())].concat()));
        der(0x30, &der(0x30, &fields))
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        let end = |bytes: &[u8]| not_after(bytes).map(UnixMillis::to_rfc3339);
        assert_eq!(end(&certificate(true, 23, "270301120000Z")).as_deref(), Some("2027-03-01T12:00:00.000Z"));
        assert_eq!(end(&certificate(false, 24, "20991231235959Z")).as_deref(), Some("2099-12-31T23:59:59.000Z"));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = certificate(true, 23, "270301120000Z");
        for end in 0..whole.len() {
            assert_eq!(not_after(&whole[..end]), None);
        }
        assert_eq!(not_after(&certificate(true, 23, "279901120000Z")), None);
    }
}
