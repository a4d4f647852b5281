//! Who calls: a trunk by its source address, a fixed-contact agent by address and From, everybody
//! else by digest authentication. Nobody else gets in.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use rsipstack::sip::{Headers, Request};

use crate::control::input::{CallerIdTrust, Identity, Origin};
use crate::edge::sip::Shared;
use crate::edge::sip::digest::{Algorithm, Check, Offer, ha1};
use crate::edge::sip::message::{header, headers_of};
use crate::edge::sip::settings::{CallerIdPolicy, Trunk};
use crate::edge::sip::uri::{NameAddr, SipUri, split_unquoted, unescape};

/// A caller that was let in.
#[derive(Debug)]
pub struct Caller {
    pub origin: Origin,
    /// `None` where it is hidden.
    pub number: Option<Arc<str>>,
    pub display_name: Option<Arc<str>>,
    /// Requests back go where the caller's come from: it may sit behind NAT.
    pub follow_source: bool,
}

/// A caller that was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// 403: this user gave too many wrong passwords from this source.
    ShutOut,
    /// 401 with a challenge.
    Challenge { stale: bool },
    /// 503: this source asks too often.
    TooOften,
}

/// Finds out who sends an INVITE.
pub async fn caller(shared: &Shared, invite: &Request, source: IpAddr) -> Result<Caller, Refused> {
    let source = source.to_canonical();
    let from = header(&invite.headers, "From").and_then(NameAddr::parse);
    let from_user = from.as_ref().and_then(|from| user_of(&from.uri));
    if let Some(origin) = fixed_contact(shared, source, from_user.as_deref()) {
        return Ok(Caller {
            origin,
            number: shown(&invite.headers, from_user, from.as_ref()),
            display_name: name_of(from.as_ref()),
            follow_source: false,
        });
    }
    if let Some(trunk) = shared.settings.trunk_of(source) {
        if let Some(account) = &trunk.account {
            prove_trunk(shared, invite, source, &account.username, &account.password)?;
        }
        return Ok(from_trunk(trunk, &invite.headers, from.as_ref(), from_user));
    }
    let identity = prove(shared, invite, source).await?;
    Ok(Caller {
        origin: Origin::Registered(identity),
        number: shown(&invite.headers, from_user, from.as_ref()),
        display_name: name_of(from.as_ref()),
        follow_source: true,
    })
}

/// An agent whose configured contact has this address, and who says to be that agent.
fn fixed_contact(shared: &Shared, source: IpAddr, from_user: Option<&str>) -> Option<Origin> {
    shared
        .contacts
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .find(source, from_user?)
}

fn from_trunk(
    trunk: &Trunk,
    headers: &Headers,
    from: Option<&NameAddr>,
    from_user: Option<String>,
) -> Caller {
    let asserted = asserted(headers);
    let believed = match trunk.caller_id {
        CallerIdPolicy::Trusted => true,
        CallerIdPolicy::Verstat => is_verified(headers),
        CallerIdPolicy::Untrusted | CallerIdPolicy::Verify => false,
    };
    // Where the trunk is not trusted, its assertion is worth as little as its From, which is what
    // the people there see.
    let (user, name) = match asserted {
        Some((user, identity)) if believed => (
            Some(user),
            name_of(Some(&identity)).or_else(|| name_of(from)),
        ),
        _ => (from_user, name_of(from)),
    };
    let number = shown(headers, user, from);
    Caller {
        origin: Origin::Trunk {
            name: trunk.name.clone(),
            network: trunk.network,
            caller_id: if believed {
                CallerIdTrust::Trusted
            } else {
                CallerIdTrust::Untrusted
            },
        },
        display_name: number.is_some().then_some(name).flatten(),
        number,
        follow_source: false,
    }
}

/// What the trunk says of who calls: at most a SIP and a tel URI (RFC 3325 §9.1), in one header or in
/// two. A telephone number tells more than a name or an extension there, a whole one most.
fn asserted(headers: &Headers) -> Option<(String, NameAddr)> {
    let rank = |user: &str| {
        let digits = user.strip_prefix('+').unwrap_or(user);
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        match (is_number, user.starts_with('+')) {
            (true, true) => 0,
            (true, false) => 1,
            (false, _) => 2,
        }
    };
    headers_of(headers, "P-Asserted-Identity")
        .flat_map(|value| split_unquoted(value, b','))
        .filter_map(NameAddr::parse)
        .filter_map(|identity| user_of(&identity.uri).map(|user| (user, identity)))
        .min_by_key(|(user, _)| rank(user))
}

/// A passed verdict of the carrier on the number (ATIS-1000074, 3GPP TS 24.229 `verstat`). Lesser
/// attestations, marked -B and -C, say who brought the call, not whose number it is.
fn is_verified(headers: &Headers) -> bool {
    let passed = |verdict: &str| {
        ["TN-Validation-Passed", "TN-Validation-Passed-A"]
            .iter()
            .any(|good| verdict.eq_ignore_ascii_case(good))
    };
    if headers_of(headers, "P-Stir-Verstat").any(|value| passed(value.trim())) {
        return true;
    }
    ["P-Asserted-Identity", "From"].iter().any(|name| {
        headers_of(headers, name).any(|value| {
            value
                .split([';', '>', '@', ','])
                .filter_map(|piece| piece.split_once('='))
                .any(|(key, verdict)| {
                    key.trim().eq_ignore_ascii_case("verstat") && passed(verdict.trim())
                })
        })
    })
}

/// The number, unless the caller wants it hidden (RFC 3323, RFC 3325 §7).
fn shown(headers: &Headers, user: Option<String>, from: Option<&NameAddr>) -> Option<Arc<str>> {
    let private = headers_of(headers, "Privacy")
        .flat_map(|value| value.split(';'))
        .any(|wish| {
            ["id", "user", "header"]
                .iter()
                .any(|hide| wish.trim().eq_ignore_ascii_case(hide))
        });
    let anonymous = from.is_some_and(|from| {
        SipUri::parse(&from.uri).is_ok_and(|uri| uri.host.ends_with("anonymous.invalid"))
            || user_of(&from.uri).is_none_or(|user| is_nobody(&user))
    });
    user.map(printable)
        .filter(|user| !private && !anonymous && !is_nobody(user) && !user.is_empty())
        .map(Arc::from)
}

fn is_nobody(user: &str) -> bool {
    [
        "anonymous",
        "restricted",
        "unavailable",
        "unknown",
        "private",
    ]
    .iter()
    .any(|word| user.eq_ignore_ascii_case(word))
}

fn name_of(address: Option<&NameAddr>) -> Option<Arc<str>> {
    address?
        .display_name
        .as_deref()
        .filter(|name| !is_nobody(name))
        .map(|name| Arc::from(printable(name.to_owned())))
}

/// An escaped line end in a name is no part of it: names go into lists and headers.
fn printable(mut name: String) -> String {
    name.retain(|c| !c.is_control());
    name
}

/// The user part of a SIP URI, or the number of a tel URI (RFC 3966).
pub fn user_of(uri: &str) -> Option<String> {
    if let Some(number) = uri
        .get(..4)
        .filter(|scheme| scheme.eq_ignore_ascii_case("tel:"))
        .and_then(|_| uri[4..].split(';').next())
    {
        let digits: String = unescape(number)
            .chars()
            .filter(|c| !"-.() ".contains(*c))
            .collect();
        return (!digits.is_empty()).then_some(digits);
    }
    SipUri::parse(uri).ok()?.user
}

/// Digest authentication of one of our users. Everybody without credentials is challenged, and who
/// is no user of ours fares as one with a wrong password: who exists is nobody's business.
pub async fn prove(
    shared: &Shared,
    request: &Request,
    source: IpAddr,
) -> Result<Identity, Refused> {
    let source = source.to_canonical();
    let offer = offer_for(shared, request);
    let answers = offer
        .as_ref()
        .is_some_and(|offer| shared.digest.issued(offer, source));
    // Every try costs a look into the store. Whoever forges this address has seen no challenge, and
    // leaves the share of those who answer one alone.
    if !shared.unproven.allow((source, answers)) {
        return Err(Refused::TooOften);
    }
    let Some(offer) = offer else {
        return Err(Refused::Challenge { stale: false });
    };
    if !answers {
        return Err(Refused::Challenge { stale: true });
    }
    has_tries_left(shared, source, &offer)?;
    let known = shared.credentials.credentials(&offer.username).await;
    let proven = check(shared, request, source, &offer, |algorithm| {
        match (&known, algorithm) {
            (Some(known), Algorithm::Md5) => known.ha1_md5.as_str(),
            (Some(known), Algorithm::Sha256) => known.ha1_sha256.as_str(),
            (None, _) => "",
        }
    });
    proven?;
    let Some(known) = known else {
        return Err(Refused::Challenge { stale: false });
    };
    shared.offered.proven(request, source, offer.algorithm);
    Ok(known.identity)
}

fn prove_trunk(
    shared: &Shared,
    request: &Request,
    source: IpAddr,
    username: &str,
    password: &str,
) -> Result<(), Refused> {
    let Some(offer) = offer_for(shared, request) else {
        return Err(Refused::Challenge { stale: false });
    };
    if !shared.digest.issued(&offer, source) {
        return Err(Refused::Challenge { stale: true });
    }
    has_tries_left(shared, source, &offer)?;
    let realm = &shared.settings.domain;
    let hashes = [Algorithm::Md5, Algorithm::Sha256].map(|a| ha1(a, username, realm, password));
    check(shared, request, source, &offer, |algorithm| {
        if offer.username != username {
            return "";
        }
        match algorithm {
            Algorithm::Md5 => &hashes[0],
            Algorithm::Sha256 => &hashes[1],
        }
    })
}

/// Whether this user, there or not, has not given too many wrong passwords from here. Others at the
/// same address are not held up by it.
fn has_tries_left(shared: &Shared, source: IpAddr, offer: &Offer) -> Result<(), Refused> {
    if shared.failures.has_room((source, &offer.username)) {
        return Ok(());
    }
    shared.gate.counters.count(|counters| &counters.shut_out);
    if shared.shut_out.allow(source) {
        tracing::warn!(%source, "too many wrong passwords: a user is shut out there for a while");
    }
    Err(Refused::ShutOut)
}

/// Holds an answer to one of our challenges against a password, and counts it when it is wrong.
fn check<'a>(
    shared: &Shared,
    request: &Request,
    source: IpAddr,
    offer: &Offer,
    ha1_of: impl FnOnce(Algorithm) -> &'a str,
) -> Result<(), Refused> {
    let (requested, method) = (request.uri.to_string(), request.method.to_string());
    let digest = &shared.digest;
    match digest.check(offer, source, &method, &requested, ha1_of) {
        Check::Proven => Ok(()),
        Check::Stale => Err(Refused::Challenge { stale: true }),
        Check::Wrong => {
            shared.failures.allow((source, &offer.username));
            Err(Refused::Challenge { stale: false })
        }
    }
}

/// The credentials for our realm among those that a request carries.
fn offer_for(shared: &Shared, request: &Request) -> Option<Offer> {
    headers_of(&request.headers, "Authorization")
        .filter_map(Offer::parse)
        .find(|offer| offer.is_for(&shared.settings.domain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::input::Network;
    use crate::edge::sip::message::named;

    fn headers(list: &[(&str, &str)]) -> Headers {
        Headers::from(
            list.iter()
                .map(|(name, value)| named(name, *value))
                .collect::<Vec<_>>(),
        )
    }

    fn trunk(caller_id: CallerIdPolicy) -> Trunk {
        Trunk {
            name: "carrier".into(),
            peers: Vec::new(),
            uri: "sip:127.0.0.2".into(),
            caller_id,
            network: Network::External,
            account: None,
        }
    }

    fn seen(policy: CallerIdPolicy, list: &[(&str, &str)]) -> (Option<String>, CallerIdTrust) {
        let headers = headers(list);
        let from = header(&headers, "From").and_then(NameAddr::parse);
        let user = from.as_ref().and_then(|from| user_of(&from.uri));
        let caller = from_trunk(&trunk(policy), &headers, from.as_ref(), user);
        let Origin::Trunk { caller_id, .. } = caller.origin else {
            panic!("not a trunk");
        };
        (caller.number.map(|n| n.to_string()), caller_id)
    }

    const FROM: (&str, &str) = ("From", "\"Someone\" <sip:+358401@c.example>;tag=1");
    const ASSERTED: (&str, &str) = ("P-Asserted-Identity", "<tel:+358-40-2;x=y>");

    #[test]
    fn a_trusted_trunk_is_believed_what_it_asserts() {
        let (number, trust) = seen(CallerIdPolicy::Trusted, &[FROM, ASSERTED]);

        assert_eq!(number.as_deref(), Some("+358402"));
        assert_eq!(trust, CallerIdTrust::Trusted);
    }

    #[test]
    fn of_several_asserted_identities_the_telephone_number_counts() {
        let names = ["P-Asserted-Identity"; 2];
        for values in [
            &["<sip:x@h>, <tel:+358402>"][..],
            &["<tel:+358-40-2>, \"A, b\" <sip:x@h>"],
            &["<sip:1000@h>, <tel:+358402>"],
            &["<sip:x@h>", "<tel:+358402>"],
            &["<sip:+358402;cpc=ordinary@h;user=phone>", "<sip:x@h>"],
            &["<sip:x@h>, <>, <sip:+358402@h>"],
        ] {
            let mut list = vec![FROM];
            list.extend(names.into_iter().zip(values.iter().copied()));

            let (number, _) = seen(CallerIdPolicy::Trusted, &list);

            assert_eq!(number.as_deref(), Some("+358402"), "{values:?}");
        }
        let names_only = [FROM, (names[0], "<sip:x@h>, <sip:y@h>")];
        assert_eq!(
            seen(CallerIdPolicy::Trusted, &names_only).0.as_deref(),
            Some("x")
        );
    }

    #[test]
    fn an_escaped_line_end_is_no_part_of_a_callers_name() {
        for (from, shown) in [
            (
                "<sip:evil%22%0d%0a=cmd@c.example>;tag=1",
                Some("evil\"=cmd"),
            ),
            ("<sip:%0d%0a@c.example>;tag=1", None),
        ] {
            let (number, _) = seen(CallerIdPolicy::Untrusted, &[("From", from)]);

            assert_eq!(number.as_deref(), shown, "{from}");
        }
    }

    #[test]
    fn an_untrusted_trunk_shows_its_from_and_is_not_believed() {
        for policy in [CallerIdPolicy::Untrusted, CallerIdPolicy::Verify] {
            let (number, trust) = seen(policy, &[FROM, ASSERTED]);

            assert_eq!(number.as_deref(), Some("+358401"));
            assert_eq!(trust, CallerIdTrust::Untrusted);
        }
    }

    #[test]
    fn a_verdict_is_believed_only_when_it_passed() {
        let verdict = |value: &str| {
            let from = format!("<sip:+358401;verstat={value}@c.example>;tag=1");
            seen(CallerIdPolicy::Verstat, &[("From", &from)]).1
        };

        assert_eq!(verdict("TN-Validation-Passed"), CallerIdTrust::Trusted);
        assert_eq!(verdict("TN-Validation-Passed-A"), CallerIdTrust::Trusted);
        assert_eq!(verdict("TN-Validation-Passed-C"), CallerIdTrust::Untrusted);
        assert_eq!(verdict("TN-Validation-Failed"), CallerIdTrust::Untrusted);
        assert_eq!(verdict("No-TN-Validation"), CallerIdTrust::Untrusted);
        assert_eq!(
            seen(
                CallerIdPolicy::Verstat,
                &[FROM, ("P-Stir-Verstat", "TN-Validation-Passed")]
            )
            .1,
            CallerIdTrust::Trusted
        );
        assert_eq!(
            seen(CallerIdPolicy::Verstat, &[FROM]).1,
            CallerIdTrust::Untrusted
        );
    }

    #[test]
    fn who_hides_is_nobody() {
        for hidden in [
            &[FROM, ASSERTED, ("Privacy", "id")][..],
            &[
                (
                    "From",
                    "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1",
                ),
                ASSERTED,
            ],
            &[("From", "<sip:c.example>;tag=1")],
            &[("From", "<sip:Restricted@c.example>;tag=1")],
        ] {
            assert_eq!(seen(CallerIdPolicy::Trusted, hidden).0, None);
        }
    }
}
