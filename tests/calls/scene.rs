//! What the tests share: a service in a folder of its own, phones that speak tones, ears.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sottovoce::demo::media::{Media, RATE_HZ, Track, Voice};
use sottovoce::demo::phone::{Line, Phone};
use sottovoce::demo::service::{Service, Setup};
use sottovoce::demo::stage::{self, MOBILE, OFFICE};
use sottovoce::demo::tones::amplitude;
use sottovoce::edge::clock;

pub const CUSTOMER_HZ: f32 = 500.0;
pub const AGENT_HZ: f32 = 1900.0;
pub const SUPERVISOR_HZ: f32 = 2300.0;
pub const COLLEAGUE_HZ: f32 = 2600.0;
/// Amplitude at which a tone counts as heard; they are spoken at 3600.
const HEARD: f32 = 500.0;

/// A temporary folder, removed at the end unless the test failed.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sottovoce-test-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // What cannot be removed is left to the system's cleaning.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

pub fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_sottovoce"))
}

pub fn share() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn setup(folder: &Folder) -> Setup {
    let mut setup = stage::setup(&folder.0);
    setup.share = Some(share().to_owned());
    setup
}

pub fn start(setup: &Setup) -> Service {
    tokio::task::block_in_place(|| Service::start(exe(), setup)).expect("the service starts")
}

pub fn stop(service: Service) {
    tokio::task::block_in_place(|| service.stop()).expect("the service drains and ends well");
}

/// A service and a conversation that is not supervised yet.
pub struct Scene {
    pub service: Service,
    /// A phone that is dropped answers nothing more.
    _agent_phone: Phone,
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
        let mut agent_phone = stage::agent(&service, stage::AGENT, stage::AGENT_PASSWORD)
            .await
            .expect("the agent registers");
        let customer_phone = stage::phone(&service, "+358501112222", OFFICE)
            .await
            .expect("a phone");
        let mia = stage::phone(&service, stage::MIA, MOBILE)
            .await
            .expect("a phone");
        let leo = stage::phone(&service, stage::LEO, MOBILE)
            .await
            .expect("a phone");
        let call = stage::converse(&customer_phone, &mut agent_phone, stage::AGENT)
            .await
            .expect("customer and agent talk");
        call.customer.media.say(Voice::Tone(CUSTOMER_HZ));
        call.agent.media.say(Voice::Tone(AGENT_HZ));
        let scene = Self {
            service,
            _agent_phone: agent_phone,
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

    async fn wait_monitoring(&self, line: &Line) {
        wait_until("the supervisor hears both parties", || {
            hears(&line.media, CUSTOMER_HZ) && hears(&line.media, AGENT_HZ)
        })
        .await;
    }

    /// Which of the known tones each party hears, once it is what is expected for half a second.
    pub async fn expect_ears(&self, agent: &[f32], customer: &[f32], what: &str) {
        wait_until(what, || {
            tones(&self.agent.media) == agent && tones(&self.customer.media) == customer
        })
        .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(tones(&self.agent.media), agent, "the agent's ear: {what}");
        assert_eq!(
            tones(&self.customer.media),
            customer,
            "the customer's ear: {what}"
        );
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
    let text = audit_csv(service);
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    let column = header
        .split(',')
        .position(|name| name == "code")
        .expect("a column code");
    lines
        .filter(|line| line.split(',').nth(column) == Some(&code.to_string()))
        .count()
}

/// Waits for a thing, not for time; a busy machine is given half a minute.
pub async fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came to pass: {what}");
}

/// Known tones heard over the newest 300 ms, in ascending order.
pub fn tones(media: &Media) -> Vec<f32> {
    [CUSTOMER_HZ, AGENT_HZ, SUPERVISOR_HZ, COLLEAGUE_HZ]
        .into_iter()
        .filter(|hz| hears(media, *hz))
        .collect()
}

pub fn hears(media: &Media, hz: f32) -> bool {
    let heard = media.heard();
    let newest = heard.samples.len().saturating_sub(RATE_HZ * 3 / 10);
    let late = media
        .packets()
        .last()
        .is_none_or(|packet| clock::now().duration_since(packet.at) > Duration::from_millis(300));
    !late && amplitude(&heard.samples[newest..], hz) > HEARD
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
