//! Caller IDs and registered phones, compared as E.164.
//!
//! A trunk may show a caller as `+358401234567`, `00358401234567`, `040 123 4567` or
//! `358401234567`. All of them are one registered phone of a supervisor whose country is FI;
//! without a country only the international forms can be told.

/// Characters of a caller ID that are looked at: the fifteen digits of an E.164 number (ITU-T E.164
/// §6.2.1) with prefixes and separators. What is longer is no telephone number.
const MAX_LENGTH: usize = 32;

/// The number as `+` and digits, as far as it can be told.
pub fn normalise(number: &str, default_country: Option<&str>) -> Option<String> {
    if number.len() > MAX_LENGTH {
        return None;
    }
    let compact: String = number
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/'))
        .collect();
    let digits = compact.strip_prefix('+').unwrap_or(&compact);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }

    let country = default_country.and_then(|country| country.parse().ok());
    let international = match compact.strip_prefix("00") {
        Some(rest) => format!("+{rest}"),
        None => compact.clone(),
    };
    let parsed = if international.starts_with('+') {
        phonenumber::parse(None, &international)
    } else {
        // Without a country a bare number cannot be placed.
        phonenumber::parse(Some(country?), &international)
    };
    let parsed = parsed.ok()?;
    Some(format!("{}", parsed.format().mode(phonenumber::Mode::E164)))
}

/// Whether a caller ID is this registered phone.
pub fn is_phone(caller: &str, phone: &str, default_country: Option<&str>) -> bool {
    if caller == phone {
        return true;
    }
    match (
        normalise(caller, default_country),
        normalise(phone, default_country),
    ) {
        (Some(caller), Some(phone)) => caller == phone,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: &str = "+358401234567";

    #[test]
    fn every_way_of_showing_a_finnish_mobile_is_that_mobile() {
        for caller in [
            "+358401234567",
            "00358401234567",
            "0401234567",
            "040 123 4567",
            "+358 40 123-4567",
            "358401234567",
            "040.123.4567",
        ] {
            assert!(is_phone(caller, PHONE, Some("FI")), "{caller}");
        }
    }

    #[test]
    fn another_number_is_not_that_mobile() {
        for caller in [
            "+358401234568",
            "0401234568",
            "01234567",
            "401234567890",
            "+46401234567",
            "",
            "+",
            "anonymous",
            "040123456７",
        ] {
            assert!(!is_phone(caller, PHONE, Some("FI")), "{caller}");
        }
    }

    #[test]
    fn a_national_number_belongs_to_the_country_of_its_supervisor() {
        assert!(is_phone("0701234567", "+46701234567", Some("SE")));
        assert!(!is_phone("0701234567", "+46701234567", Some("FI")));
        assert!(is_phone("(650) 253-0000", "+16502530000", Some("US")));
    }

    #[test]
    fn without_a_country_only_international_forms_are_told() {
        assert!(is_phone("+358401234567", PHONE, None));
        assert!(is_phone("00358401234567", PHONE, None));
        assert!(!is_phone("0401234567", PHONE, None));
    }

    #[test]
    fn an_unknown_country_is_no_country() {
        assert!(!is_phone("0401234567", PHONE, Some("XX")));
        assert!(is_phone(PHONE, PHONE, Some("XX")));
    }

    #[test]
    fn arbitrary_callers_do_not_panic() {
        let mut text = String::new();
        for seed in 0_u32..5000 {
            text.clear();
            let mut value = seed.wrapping_mul(2_654_435_761);
            while value > 0 {
                text.push(['+', '0', '1', '8', '9', '(', '#', 'a', 'é', ';'][value as usize % 10]);
                value /= 11;
            }
            let _ = normalise(&text, Some("FI"));
            let _ = normalise(&text, None);
        }
    }
}
