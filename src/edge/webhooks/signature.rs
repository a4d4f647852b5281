//! The signature by which a webhook knows that an event comes from here, and when it was sent:
//! HMAC-SHA256 (RFC 2104) with the webhook's secret over the timestamp, a dot, and the body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Seconds since 1970 in UTC at which this attempt was made. A receiver refuses what is minutes old,
/// so that nobody can send it again later.
pub const TIMESTAMP: &str = "X-Sottovoce-Timestamp";
/// `v1=` and the signature in hexadecimal.
pub const SIGNATURE: &str = "X-Sottovoce-Signature";
/// The name of the event.
pub const EVENT: &str = "X-Sottovoce-Event";
/// The event's id: the same again when an attempt is repeated.
pub const DELIVERY: &str = "X-Sottovoce-Delivery";

/// The value of [`SIGNATURE`].
pub fn sign(secret: &str, timestamp: &str, body: &str) -> String {
    let mut mac = match Hmac::<Sha256>::new_from_slice(secret.as_bytes()) {
        Ok(mac) => mac,
        // HMAC takes a key of any length (RFC 2104 §2).
        Err(_) => unreachable!("a key of a wrong length"),
    };
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec`.
    #[test]
    fn the_signature_is_what_others_compute() {
        let signature = sign("whsec", "1700000000", "{\"a\":1}");

        assert_eq!(
            signature,
            "v1=8ad37ba156048ae0e0a5533c75cdf26fee88b07f93cb57ee4c80adb053012032"
        );
    }

    #[test]
    fn another_time_secret_or_body_has_another_signature() {
        let signature = sign("whsec", "1700000000", "{}");

        assert_ne!(signature, sign("whsec", "1700000001", "{}"));
        assert_ne!(signature, sign("other", "1700000000", "{}"));
        assert_ne!(signature, sign("whsec", "1700000000", "{ }"));
    }
}
