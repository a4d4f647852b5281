//! What the tests share: a service in a folder of its own, phones that speak tones, ears.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sottovoce::demo::media::{Codec, KeySending, Media, RATE_HZ, Track, Voice};
use sottovoce::demo::phone::{Line, Phone, PhoneConfig};
use sottovoce::demo::service::{Service, Setup};
use sottovoce::demo::stage::{self, DESK, MOBILE, OFFICE, PATIENCE};
use sottovoce::demo::tones::amplitude;
use sottovoce::edge::clock;

pub use folder::Folder;

#[path = "../common/folder.rs"]
mod folder;

pub const CUSTOMER_HZ: f32 = 500.0;
pub const AGENT_HZ: f32 = 1900.0;
pub const SUPERVISOR_HZ: f32 = 2300.0;
pub const COLLEAGUE_HZ: f32 = 2600.0;
/// An agent on a second line.
pub const ASIDE_HZ: f32 = 1000.0;
/// Amplitude at which a tone counts as heard; they are spoken at 3600.
const HEARD: f32 = 500.0;
/// 300 ms: every tone has a whole number of periods in it, so that none is taken for another.
const LISTENED: usize = RATE_HZ * 3 / 10;

pub fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sottovoce"))
}

pub fn share() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn setup(folder: &Folder) -> Setup {
    let mut setup = stage::setup(folder.path());
    setup.share = Some(share().to_owned());
    setup
}

pub fn start(setup: &Setup) -> Service {
    tokio::task::block_in_place(|| Service::start(exe(), setup)).expect("the service starts")
}

pub fn stop(service: Service) {
    tokio::task::block_in_place(|| service.stop()).expect("the service drains and ends well");
}

/// A phone that calls from that number.
pub async fn phone(service: &Service, number: &str, ip: IpAddr) -> Phone {
    let phone = stage::phone(service, number, ip).await;
    phone.expect("a phone")
}

/// The phone of agent 204, registered.
pub async fn agent(service: &Service) -> Phone {
    let phone = stage::agent(service, stage::AGENT, stage::AGENT_PASSWORD).await;
    phone.expect("204 registers")
}

/// The phone of agent 205, registered.
pub async fn second_agent(service: &Service) -> Phone {
    let phone = stage::agent(service, stage::SECOND_AGENT, "onni-205").await;
    phone.expect("205 registers")
}

/// Waits until a phone rings, and answers.
pub async fn answer_at(phone: &mut Phone) -> Line {
    let incoming = phone.incoming().await.expect("it rings");
    incoming.answer().await.expect("answered")
}

/// Presses keys, by telephone-event.
pub async fn press(line: &Line, keys: &str) {
    let pressed = line.press(keys, KeySending::Event).await;
    pressed.expect("keys are sent");
}

/// A service and a conversation that is not supervised yet.
pub struct Scene {
    pub service: Service,
    pub agent_phone: Phone,
    pub customer_phone: Phone,
    pub mia: Phone,
    pub leo: Phone,
    pub agent: Line,
    pub customer: Line,
    _folder: Folder,
}

impl Scene {
    pub async fn new(name: &str) -> Self {
        Self::with(name, |setup| setup).await
    }

    pub async fn with(name: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let folder = Folder::new(name);
        let service = start(&change(setup(&folder)));
        let agent_phone = agent(&service).await;
        let customer_phone = phone(&service, "+358501112222", OFFICE).await;
        Self::of(folder, service, agent_phone, customer_phone).await
    }

    /// Customer and agent have this codec alone, the supervisors G.711.
    pub async fn speaking(name: &str, codec: Codec) -> Self {
        let folder = Folder::new(name);
        let service = start(&setup(&folder));
        let config = |user: &str, ip: IpAddr| PhoneConfig {
            codecs: vec![codec],
            ..PhoneConfig::new(user, ip, service.sip)
        };
        let agent_phone = Phone::start(PhoneConfig {
            password: Some(stage::AGENT_PASSWORD.to_owned()),
            ..config(stage::AGENT, DESK)
        });
        let agent_phone = agent_phone.await.expect("a phone");
        agent_phone.register().await.expect("204 registers");
        let customer_phone = Phone::start(config("+358501112222", OFFICE));
        let customer_phone = customer_phone.await.expect("a phone");
        Self::of(folder, service, agent_phone, customer_phone).await
    }

    async fn of(
        folder: Folder,
        service: Service,
        mut agent_phone: Phone,
        customer_phone: Phone,
    ) -> Self {
        let mia = phone(&service, stage::MIA, MOBILE).await;
        let leo = phone(&service, stage::LEO, MOBILE).await;
        let call = stage::converse(&customer_phone, &mut agent_phone, stage::AGENT)
            .await
            .expect("customer and agent talk");
        call.customer.media.say(Voice::Tone(CUSTOMER_HZ));
        call.agent.media.say(Voice::Tone(AGENT_HZ));
        let scene = Self {
            service,
            agent_phone,
            customer_phone,
            mia,
            leo,
            agent: call.agent,
            customer: call.customer,
            _folder: folder,
        };
        wait_until("both parties hear each other", || {
            hears(&scene.customer.media, AGENT_HZ) && hears(&scene.agent.media, CUSTOMER_HZ)
        })
        .await;
        scene
    }

    /// Mia dials in and hears both parties.
    pub async fn supervise(&self) -> Line {
        let line = self
            .mia
            .dial(stage::SUPERVISING_NUMBER)
            .await
            .expect("800 answers");
        line.media.say(Voice::Tone(SUPERVISOR_HZ));
        self.wait_monitoring(&line).await;
        line
    }

    /// A second supervisor.
    pub async fn supervise_too(&self) -> Line {
        let line = self
            .leo
            .dial(stage::SUPERVISING_NUMBER)
            .await
            .expect("800 answers");
        line.media.say(Voice::Tone(COLLEAGUE_HZ));
        self.wait_monitoring(&line).await;
        line
    }

    /// The agent puts the customer on hold.
    pub async fn hold(&self) {
        let held = self.agent.reinvite("sendonly").await;
        held.expect("hold is accepted");
    }

    /// The agent takes the customer back.
    pub async fn resume(&self) {
        let resumed = self.agent.reinvite("sendrecv").await;
        resumed.expect("resume is accepted");
    }

    async fn wait_monitoring(&self, line: &Line) {
        wait_until("the supervisor hears both parties", || {
            hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
        })
        .await;
    }

    /// Which of the known tones each party hears: it comes to be what is expected, nothing else is
    /// heard for half a second from then on, and it is still so.
    pub async fn expect_ears(&self, agent: &[f32], customer: &[f32], what: &str) {
        let as_expected =
            || tones(&self.agent.media) == agent && tones(&self.customer.media) == customer;
        wait_until(what, as_expected).await;
        let ears = [
            ("agent", &self.agent.media, agent),
            ("customer", &self.customer.media, customer),
        ]
        .map(|(whose, media, expected)| (whose, media, expected, position(media)));
        tokio::time::sleep(Duration::from_millis(500)).await;
        for (whose, media, expected, from) in ears {
            let heard = heard_after(media, from);
            let more: Vec<f32> = heard
                .into_iter()
                .filter(|hz| !expected.contains(hz))
                .collect();
            assert!(more.is_empty(), "{more:?} in the {whose}'s ear too: {what}");
        }
        // A machine that stands still for a moment is heard as a gap, and the gap passes.
        wait_until(what, as_expected).await;
    }

    /// Rows of the audit with this code.
    pub fn audited(&self, code: u16) -> usize {
        audited(&self.service, code)
    }
}

pub fn audit_csv(service: &Service) -> String {
    let output = std::process::Command::new(exe())
        .args(["audit", "export", "--format", "csv", "--config"])
        .arg(&service.config)
        .output()
        .expect("audit export runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn audited(service: &Service, code: u16) -> usize {
    audited_with(service, "code", &code.to_string())
}

/// Rows of the audit that have this value in a column.
pub fn audited_with(service: &Service, column: &str, value: &str) -> usize {
    let text = audit_csv(service);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header
        .split(',')
        .position(|name| name == column)
        .expect("a column of that name");
    lines
        .filter(|line| line.split(',').nth(column) == Some(value))
        .count()
}

/// Waits for a thing, not for time.
pub async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = clock::now() + PATIENCE;
    while clock::now() < end {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came to pass: {what}");
}

const TONES: [f32; 5] = [CUSTOMER_HZ, ASIDE_HZ, AGENT_HZ, SUPERVISOR_HZ, COLLEAGUE_HZ];

/// Samples that have come so far.
pub fn position(media: &Media) -> usize {
    media.heard().samples.len()
}

/// Known tones among the samples after that position, at any time.
pub fn heard_after(media: &Media, position: usize) -> Vec<f32> {
    let heard = media.heard();
    let stretches = || heard.samples[position..].chunks_exact(LISTENED);
    TONES
        .into_iter()
        .filter(|hz| stretches().any(|stretch| amplitude(stretch, *hz) > HEARD))
        .collect()
}

/// Known tones heard over the newest 300 ms, in ascending order.
pub fn tones(media: &Media) -> Vec<f32> {
    TONES.into_iter().filter(|hz| hears(media, *hz)).collect()
}

pub fn hears(media: &Media, hz: f32) -> bool {
    let heard = media.heard();
    let newest = heard.samples.len().saturating_sub(LISTENED);
    let late = media
        .packets()
        .last()
        .is_none_or(|packet| clock::now().duration_since(packet.at) > Duration::from_millis(300));
    !late && amplitude(&heard.samples[newest..], hz) > HEARD
}

/// Watches how long this machine keeps a thread waiting that wants to run.
pub struct StallWatch {
    worst_ms: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl StallWatch {
    pub fn start() -> Self {
        const STEP: Duration = Duration::from_millis(5);
        let worst_ms = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (worst, ends) = (worst_ms.clone(), over.clone());
        std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let due = clock::now() + STEP;
                std::thread::sleep(STEP);
                let late = clock::now().saturating_duration_since(due).as_millis();
                worst.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { worst_ms, over }
    }

    /// The longest wait so far, in whole frames of 20 ms.
    pub fn frames(&self) -> usize {
        usize::try_from(self.worst_ms.load(Ordering::Relaxed) / 20).unwrap_or(usize::MAX / 4)
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The longest stretch since `from` in which a tone that should be there was not, in frames of 20 ms.
pub fn longest_gap(track: &Track, hz: f32, from: Instant) -> usize {
    let start = track.index_at(from).unwrap_or(0).min(track.samples.len());
    let mut longest = 0;
    let mut gap = 0;
    for frame in track.samples[start..].chunks_exact(160) {
        if amplitude(frame, hz) < HEARD {
            gap += 1;
            longest = longest.max(gap);
        } else {
            gap = 0;
        }
    }
    longest
}
