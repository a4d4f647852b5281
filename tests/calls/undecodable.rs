//! A codec that the service can pass on and cannot decode.

use std::net::IpAddr;

use sottovoce::demo::measure::breaks;
use sottovoce::demo::media::{Codec, Media, Voice};
use sottovoce::demo::phone::{Phone, PhoneConfig, PhoneError};
use sottovoce::demo::service::Service;
use sottovoce::demo::stage::{self, DESK, MOBILE, OFFICE};

use crate::scene::{
    AGENT_HZ, COLLEAGUE_HZ, Folder, audited, phone, position, press, second_agent, setup, start,
    stop, tones, wait_until,
};
use crate::words::wait_spoken;

/// A phone that speaks nothing but G.729.
async fn g729_phone(service: &Service, user: &str, ip: IpAddr, password: Option<&str>) -> Phone {
    let mut config = PhoneConfig::new(user, ip, service.sip);
    config.codecs = vec![Codec::G729];
    config.password = password.map(str::to_owned);
    Phone::start(config).await.expect("a phone")
}

async fn wait_passed_on(media: &[&Media; 2], what: &str) {
    let before = media.map(Media::undecoded_heard);
    wait_until(what, || {
        // Two seconds of it, with time for what is said meanwhile to leak.
        media
            .iter()
            .zip(before)
            .all(|(media, before)| media.undecoded_heard() > before + 100)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_a_codec_that_is_only_passed_on_is_9011_for_a_supervisor_and_goes_on() {
    let folder = Folder::new("g729");
    let service = start(&setup(&folder));
    let mut agent = g729_phone(&service, "204", DESK, Some(stage::AGENT_PASSWORD)).await;
    agent.register().await.expect("204 registers");
    let customer = g729_phone(&service, "+358501112222", OFFICE, None).await;
    let call = stage::converse(&customer, &mut agent, stage::AGENT)
        .await
        .expect("customer and agent talk");
    let parties: [&Media; 2] = [&call.customer.media, &call.agent.media];
    wait_passed_on(
        &parties,
        "both receive what the other sends, as it was sent",
    )
    .await;
    let mia = phone(&service, stage::MIA, MOBILE).await;

    let line = mia
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .expect("800 answers");

    line.media.say(Voice::Silence);
    wait_spoken(&line.media, 0, "conference-failed").await;
    wait_until("9011 is audited", || audited(&service, 9011) == 1).await;
    // The call stands in the menu still, and # tries it once more.
    let from = position(&line.media);
    press(&line, "#").await;
    wait_spoken(&line.media, from, "conference-failed").await;
    wait_until("and again", || audited(&service, 9011) == 2).await;

    wait_passed_on(&parties, "the parties still talk").await;
    for (party, of) in [("customer", &call.customer), ("agent", &call.agent)] {
        assert_eq!(of.state().reinvites, 0, "re-INVITEs to the {party}");
        let packets = of.media.packets();
        let breaks = breaks(&packets);
        assert!(breaks.is_empty(), "towards the {party}: {breaks:?}");
        // All that came is what the other party sent: nothing was spoken to this one.
        assert_eq!(packets.len(), of.media.undecoded_heard(), "to the {party}");
    }

    // The same supervisor comes to a call that can be decoded, out of the same menu.
    let mut second = second_agent(&service).await;
    let caller = phone(&service, "+358503334444", OFFICE).await;
    let other = stage::converse(&caller, &mut second, stage::SECOND_AGENT)
        .await
        .expect("customer and agent talk");
    other.customer.media.say(Voice::Tone(COLLEAGUE_HZ));
    other.agent.media.say(Voice::Tone(AGENT_HZ));
    press(&line, "205#").await;
    wait_until("the other call is heard", || {
        tones(&line.media) == [AGENT_HZ, COLLEAGUE_HZ]
    })
    .await;
    stop(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisors_phone_that_we_cannot_speak_to_is_refused_with_488() {
    let folder = Folder::new("g729-supervisor");
    let service = start(&setup(&folder));
    let mia = g729_phone(&service, stage::MIA, MOBILE, None).await;

    let refused = mia.dial(stage::SUPERVISING_NUMBER).await;

    assert!(
        matches!(refused, Err(PhoneError::Refused(488))),
        "{:?}",
        refused.err()
    );
    stop(service);
}
