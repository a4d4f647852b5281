//! A caller from outside whom an agent would send out again.

use sottovoce::demo::media::Voice;
use sottovoce::demo::phone::{Phone, PhoneConfig, PhoneError};
use sottovoce::demo::service::Service;
use sottovoce::demo::stage::{self, Conversation, MOBILE};

use crate::scene::{
    AGENT_HZ, COLLEAGUE_HZ, CUSTOMER_HZ, Folder, agent, answer_at, phone, setup, start, stop,
    tones, wait_until,
};

const OUTSIDE: &str = "+442071234567";

/// A customer who came by the mobile network talks with an agent; somebody else is to be reached
/// there, by a route for these callers.
struct Relay {
    service: Service,
    call: Conversation,
    outside: Phone,
    _phones: [Phone; 2],
    _folder: Folder,
}

impl Relay {
    async fn new(name: &str, from: Option<&str>) -> Self {
        let folder = Folder::new(name);
        let mut setup = setup(&folder);
        let port = stage::free_port(MOBILE).expect("a port");
        setup.trunks = stage::trunks_with(port);
        if let Some(from) = from {
            let to = "to = \"trunk:mobile\"";
            setup.trunks = setup.trunks.replace(to, &format!("from = {from}\n{to}"));
        }
        let service = start(&setup);
        let mut config = PhoneConfig::new(OUTSIDE, MOBILE, service.sip);
        config.port = port;
        let outside = Phone::start(config).await.expect("a phone");
        let mut agent = agent(&service).await;
        let customer = phone(&service, "+4912345678", MOBILE).await;
        let call = stage::converse(&customer, &mut agent, stage::AGENT)
            .await
            .expect("customer and agent talk");
        call.customer.media.say(Voice::Tone(CUSTOMER_HZ));
        call.agent.media.say(Voice::Tone(AGENT_HZ));
        let relay = Self {
            service,
            call,
            outside,
            _phones: [agent, customer],
            _folder: folder,
        };
        relay.expect_both_talk().await;
        relay
    }

    async fn expect_both_talk(&self) {
        wait_until("customer and agent hear each other", || {
            tones(&self.call.customer.media) == [AGENT_HZ]
                && tones(&self.call.agent.media) == [CUSTOMER_HZ]
        })
        .await;
    }

    fn target(&self) -> String {
        format!("sip:{OUTSIDE}@{}", self.service.sip)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_from_outside_is_not_transferred_outside() {
    for (name, from) in [("relay-open", None), ("relay-agents", Some("[\"agents\"]"))] {
        let relay = Relay::new(name, from).await;

        let refused = relay.call.agent.refer(&relay.target()).await;

        assert!(
            matches!(refused, Err(PhoneError::Refused(404))),
            "{refused:?}"
        );
        relay.expect_both_talk().await;
        assert!(relay.call.agent.state().ended.is_none());
        assert!(relay.call.customer.state().ended.is_none());
        stop(relay.service);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_from_outside_is_transferred_outside_where_a_route_names_their_trunk() {
    let mut relay = Relay::new("relay-named", Some("[\"agents\", \"mobile\"]")).await;
    let target = relay.target();

    let (referred, line) = tokio::join!(
        relay.call.agent.refer(&target),
        answer_at(&mut relay.outside)
    );

    referred.expect("202");
    line.media.say(Voice::Tone(COLLEAGUE_HZ));
    relay.call.agent.ended().await;
    wait_until("the two from outside hear each other", || {
        tones(&relay.call.customer.media) == [COLLEAGUE_HZ] && tones(&line.media) == [CUSTOMER_HZ]
    })
    .await;
    stop(relay.service);
}
