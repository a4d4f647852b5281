//! baresip as the supervisor's phone: registers or dials in, keys by telephone-event and in-band,
//! and its own recording of what it heard.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sottovoce::demo::measure::write_wav;
use sottovoce::demo::media::Voice;
use sottovoce::demo::phone::Phone;
use sottovoce::demo::service::{Service, Setup};
use sottovoce::demo::stage::{self, Conversation, MOBILE, OFFICE, PATIENCE};
use sottovoce::demo::tones::amplitude;
use sottovoce::edge::clock;

use crate::common::folder::Folder;

const CUSTOMER_HZ: f32 = 500.0;
const AGENT_HZ: f32 = 1900.0;
const SUPERVISOR_HZ: f32 = 2300.0;

/// A baresip in a process of its own, steered over its control port.
struct Baresip {
    child: Child,
    control: TcpStream,
    recordings: PathBuf,
}

impl Baresip {
    /// `voice` is what it says into the call; `account` its line in `accounts`.
    fn start(folder: &Path, ip: &str, account: &str, voice: &[i16]) -> Self {
        let recordings = folder.join("heard");
        std::fs::create_dir_all(&recordings).expect("a folder");
        let voice_path = folder.join("voice.wav");
        write_wav(&voice_path, voice).expect("a voice");
        let (sip, control) = (free_port(ip), free_port(ip));
        let modules = [
            "/usr/lib/baresip/modules",
            "/usr/lib/x86_64-linux-gnu/baresip/modules",
        ]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .expect("baresip is installed (Debian package baresip; ./run test installs it)");
        let config = format!(
            "sip_listen {ip}:{sip}\nmodule_path {modules}\nmodule g711.so\nmodule opus.so\nmodule aufile.so\n\
             module aubridge.so\nmodule sndfile.so\nmodule_tmp uuid.so\nmodule_tmp account.so\n\
             module_app menu.so\nmodule_app ctrl_tcp.so\naudio_source aufile,{}\n\
             audio_player aubridge,nowhere\nctrl_tcp_listen {ip}:{control}\nsnd_path {}\n\
             audio_buffer 20-160\nausrc_srate 8000\nausrc_channels 1\n",
            voice_path.display(),
            recordings.display()
        );
        std::fs::write(folder.join("config"), config).expect("written");
        std::fs::write(folder.join("accounts"), format!("{account}\n")).expect("written");
        let log = std::fs::File::create(folder.join("baresip.log")).expect("a log");
        let child = Command::new("baresip")
            .arg("-f")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn()
            .expect("baresip is installed (Debian package baresip; ./run test installs it)");
        let control = (0..3000)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(20));
                TcpStream::connect((ip, control)).ok()
            })
            .expect("baresip's control port opens");
        control
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a time-out");
        Self {
            child,
            control,
            recordings,
        }
    }

    fn command(&mut self, command: &str, parameters: &str) {
        let text = format!("{{\"command\":\"{command}\",\"params\":\"{parameters}\"}}");
        self.control
            .write_all(format!("{}:{text},", text.len()).as_bytes())
            .expect("steered");
    }

    /// Waits for an event of this kind on the control port.
    fn wait_for(&mut self, event: &str) {
        let mut text = String::new();
        let mut buffer = [0u8; 4096];
        let end = clock::now() + PATIENCE;
        while clock::now() < end {
            if let Ok(length) = self.control.read(&mut buffer) {
                text.push_str(&String::from_utf8_lossy(&buffer[..length]));
                if text.contains(event) {
                    return;
                }
            }
        }
        panic!("baresip never said {event}: {text}");
    }

    /// Hangs up, quits, and gives what it recorded of the far end: one channel at 8 kHz, whatever
    /// its codec has.
    fn finish(mut self) -> Vec<i16> {
        self.command("hangup", "");
        self.wait_for("CALL_CLOSED");
        self.command("quit", "");
        self.child.wait().expect("baresip ends");
        let recording = std::fs::read_dir(&self.recordings)
            .expect("a folder")
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.display().to_string().ends_with("-dec.wav"))
            .expect("a recording of what was heard");
        let mut reader = hound::WavReader::open(recording).expect("a WAV file");
        let spec = reader.spec();
        let step = spec.sample_rate as usize / 8000 * usize::from(spec.channels);
        let samples = reader.samples::<i16>().filter_map(Result::ok);
        samples.step_by(step).collect()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It is ours alone, and the test has failed already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn free_port(ip: &str) -> u16 {
    // The port after it is taken too: baresip listens for TLS there.
    (0..64)
        .find_map(|_| {
            let port = std::net::TcpListener::bind((ip, 0))
                .ok()?
                .local_addr()
                .ok()?
                .port();
            std::net::TcpListener::bind((ip, port.checked_add(1)?)).ok()?;
            Some(port)
        })
        .expect("two free ports")
}

struct Scene {
    service: Service,
    call: Conversation,
    _agent: Phone,
    _customer: Phone,
}

async fn scene(folder: &Folder, change: impl FnOnce(Setup) -> Setup) -> Scene {
    let mut setup = stage::setup(&folder.path().join("service"));
    setup.share = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    let setup = change(setup);
    let service = tokio::task::block_in_place(|| {
        Service::start(Path::new(env!("CARGO_BIN_EXE_sottovoce")), &setup)
    })
    .expect("the service starts");
    let mut agent = stage::agent(&service, stage::AGENT, stage::AGENT_PASSWORD)
        .await
        .expect("agent registers");
    let customer = stage::phone(&service, "+358501112222", OFFICE)
        .await
        .expect("a phone");
    let call = stage::converse(&customer, &mut agent, stage::AGENT)
        .await
        .expect("they talk");
    call.customer.media.say(Voice::Tone(CUSTOMER_HZ));
    call.agent.media.say(Voice::Tone(AGENT_HZ));
    Scene {
        service,
        call,
        _agent: agent,
        _customer: customer,
    }
}

/// Waits until the supervisor's tone is, or is not, in an ear.
async fn wait_for_voice(line: &sottovoce::demo::phone::Line, wanted: bool, what: &str) {
    let end = clock::now() + PATIENCE;
    while clock::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let heard = line.media.heard().samples;
        let newest = &heard[heard.len().saturating_sub(4000)..];
        if (amplitude(newest, SUPERVISOR_HZ) > 500.0) == wanted {
            return;
        }
    }
    panic!("never came to pass: {what}");
}

/// Waits until the supervisor is on the call.
async fn wait_for_session(service: &Service) {
    let end = clock::now() + PATIENCE;
    while clock::now() < end {
        let (_, metrics) = service.get("/metrics").expect("metrics");
        if metrics.contains("\nsottovoce_sessions{role=\"monitor\"} 1\n") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the supervisor never joined the call");
}

/// Waits for a line in baresip's own log: its registration may be done before it can be asked.
async fn wait_for_log(log: &Path, text: &str) {
    let end = clock::now() + PATIENCE;
    while clock::now() < end {
        if std::fs::read_to_string(log)
            .unwrap_or_default()
            .contains(text)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("baresip's log never had {text}");
}

/// Two minutes of the supervisor's tone.
fn voice() -> impl Iterator<Item = i16> {
    (0..960_000).map(|n| {
        let angle = std::f32::consts::TAU * SUPERVISOR_HZ * n as f32 / 8000.0;
        (3600.0 * angle.sin()) as i16
    })
}

/// Both parties' tones are in what the supervisor's phone recorded.
fn assert_heard_the_call(heard: &[i16]) {
    let seconds = heard.chunks_exact(8000).filter(|second| {
        amplitude(second, CUSTOMER_HZ) > 500.0 && amplitude(second, AGENT_HZ) > 500.0
    });
    assert!(seconds.count() >= 2, "of {} samples", heard.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baresip_dials_in_and_whispers_by_telephone_event() {
    whispers_by_telephone_event("event", "PCMU").await;
}

/// Its voice is decoded for the agent's G.711, the call is encoded for it, and its keys come with a
/// clock of 48 kHz.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baresip_that_speaks_opus_alone_whispers_to_an_agent_in_g711() {
    whispers_by_telephone_event("opus", "opus").await;
}

async fn whispers_by_telephone_event(name: &str, codec: &str) {
    let folder = Folder::new(name);
    let scene = scene(&folder, |setup| setup).await;
    let ip = MOBILE.to_string();
    let account = format!("<sip:{}@{ip}>;regint=0;audio_codecs={codec}", stage::MIA);
    let mut baresip = Baresip::start(
        &folder.path().join("phone"),
        &ip,
        &account,
        &voice().collect::<Vec<_>>(),
    );
    baresip.command("dial", &format!("sip:800@{}", scene.service.sip));
    baresip.wait_for("CALL_ESTABLISHED");
    wait_for_session(&scene.service).await;
    // What is to be found in its recording.
    tokio::time::sleep(Duration::from_secs(3)).await;
    baresip.command("sndcode", "4#");

    wait_for_voice(&scene.call.agent, true, "the agent hears the supervisor").await;
    wait_for_voice(&scene.call.customer, false, "the customer does not").await;
    assert_heard_the_call(&baresip.finish());
    scene.call.customer.hang_up().await.expect("hangs up");
    scene.service.stop().expect("the service ends well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_baresip_registers_and_barges_by_in_band_keys() {
    let folder = Folder::new("in-band");
    let scene = scene(&folder, |setup| {
        setup.line("media", "in_band_dtmf = \"always\"")
    })
    .await;
    let ip = stage::DESK.to_string();
    let account = format!(
        "<sip:mia@{}>;auth_pass={};regint=600;audio_codecs=PCMU",
        scene.service.sip,
        stage::MIA_PASSWORD
    );
    // Eight seconds of quiet, 6#, and then speech: pressed by hand during the call.
    let mut said = vec![0i16; 64_000];
    for (row, column) in [(770.0, 1477.0), (941.0, 1477.0)] {
        said.extend(key(row, column));
        said.extend([0i16; 800]);
    }
    said.extend([0i16; 4000]);
    said.extend(voice());
    let mut baresip = Baresip::start(&folder.path().join("phone"), &ip, &account, &said);
    wait_for_log(&folder.path().join("phone/baresip.log"), "200 OK").await;
    baresip.command("dial", "800");
    baresip.wait_for("CALL_ESTABLISHED");

    wait_for_voice(
        &scene.call.customer,
        true,
        "the customer hears the supervisor",
    )
    .await;
    wait_for_voice(&scene.call.agent, true, "so does the agent").await;
    assert_heard_the_call(&baresip.finish());
    scene.call.customer.hang_up().await.expect("hangs up");
    scene.service.stop().expect("the service ends well");
}

/// 100 ms of a key at −8 dBm0 a tone.
fn key(row: f32, column: f32) -> impl Iterator<Item = i16> {
    (0..800).map(move |n| {
        let angle = std::f32::consts::TAU * n as f32 / 8000.0;
        (8900.0 * ((angle * row).sin() + (angle * column).sin())) as i16
    })
}
