//! Digest answers for trunks that challenge our calls.

use rsipstack::sip::{Header, Request, Response};

use crate::edge::sip::digest::respond;
use crate::edge::sip::message::{branch, headers_of, named, status_of, token};
use crate::edge::sip::settings::Account;
use crate::edge::sip::transport::Flow;

/// The request once more, with the credentials that a 401 or 407 asks for, on a new branch; the
/// caller gives it its number. `None` where the challenge cannot be met.
pub fn authorise(
    request: &Request,
    response: &Response,
    account: &Account,
    flow: &Flow,
) -> Option<Request> {
    let (challenge, answer) = match status_of(response) {
        401 => ("WWW-Authenticate", "Authorization"),
        407 => ("Proxy-Authenticate", "Proxy-Authorization"),
        _ => return None,
    };
    let method = request.method.to_string();
    let uri = request.uri.to_string();
    let value = headers_of(&response.headers, challenge).find_map(|challenge| {
        respond(
            challenge,
            &account.username,
            &account.password,
            &method,
            &uri,
            &token(),
        )
    })?;
    let mut retry = request.clone();
    retry.headers.retain(|header| {
        !matches!(header, Header::Via(_)) && !header.name().eq_ignore_ascii_case(answer)
    });
    retry.headers.push_front(named("Via", flow.via(&branch())));
    retry.headers.push(named(answer, value));
    Some(retry)
}
