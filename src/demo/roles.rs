//! `sottovoce demo`: a supervisor dials in, presses the keys, and every ear is measured.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::demo::desk::Desk;
use crate::demo::ear::find;
use crate::demo::errors::prompt_samples;
use crate::demo::keep::{self, Phones};
use crate::demo::measure::{Ears, Measured};
use crate::demo::media::Voice;
use crate::demo::phone::{Phone, PhoneConfig};
use crate::demo::service::{Service, Setup};
use crate::demo::stage::{self, MOBILE, OFFICE};
use crate::demo::timeline::Timeline;
use crate::demo::voices;
use crate::edge::clock;
use crate::edge::service::Signals;

/// After a command, until its confirmation has been spoken.
const SETTLE: Duration = Duration::from_millis(2000);
/// How long each role is measured.
const MEASURE: Duration = Duration::from_millis(3000);

/// On-net: behind the trunk of the office.
const CUSTOMER: &str = "+358501112222";

/// What the demo was asked to do.
#[derive(Clone, Debug)]
pub struct Demo {
    /// Where the WAV files go.
    pub out: PathBuf,
    /// Commands, one after another: `4#`, `5#`, …
    pub keys: Vec<String>,
    /// Stay when the measuring is done.
    pub keep: bool,
    /// The program to start as the service.
    pub exe: PathBuf,
    pub share: Option<PathBuf>,
}
/// A role as the table calls it, as the API does, and the sentence that confirms it.
struct Role {
    name: &'static str,
    state: &'static str,
    prompt: &'static str,
}

const MONITOR: Role = Role {
    name: "monitor",
    state: "monitor",
    prompt: "listening",
};

/// The role that a command leads to, if it does.
fn role_of(keys: &str) -> Option<Role> {
    let (name, state, prompt) = match keys {
        "4#" => ("coach", "coach", "coaching"),
        "5#" => return Some(MONITOR),
        "6#" | "0#" => ("barge", "barge", "everyone-hears"),
        "8#" => ("whisper to caller", "whisper_caller", "whispering-caller"),
        "1#" => ("takeover", "takeover", "you-have-the-call"),
        _ => return None,
    };
    Some(Role {
        name,
        state,
        prompt,
    })
}
/// Runs the demo; an error when a measured role does not match its contract. Asked to end, it ends
/// its service first.
pub async fn run(demo: Demo) -> anyhow::Result<()> {
    std::fs::create_dir_all(&demo.out)
        .with_context(|| format!("creating {}", demo.out.display()))?;
    // Rung by call-me where the demo stays, so that the service has to know where it is.
    let mobile_port = stage::free_port(MOBILE)?;
    let mut signals = Signals::new()?;
    let service = start(&demo, mobile_port)?;
    let (phones, all_right) = tokio::select! {
        shown = show(&demo, &service, mobile_port) => shown?,
        name = signals.next() => bail!("{name} before every role was measured"),
    };
    if demo.keep {
        keep::stay(&demo, &service, phones, &mut signals).await?;
    }
    service.stop()?;
    if !all_right {
        bail!("what was heard is not what was agreed");
    }
    println!("Every ear heard what its role allows, and nothing else.");
    Ok(())
}

/// Measures every role. The phones, and whether what was heard is what was agreed.
async fn show(demo: &Demo, service: &Service, mobile_port: u16) -> anyhow::Result<(Phones, bool)> {
    let timeline = Timeline::begin();
    timeline.say(&format!(
        "service ready: SIP {}, console http://{}/",
        service.sip, service.http
    ));

    let mut agent_phone = stage::agent(service, stage::AGENT, stage::AGENT_PASSWORD).await?;
    timeline.say("agent 204 (Aino) has registered");
    let customer_phone = stage::phone(service, CUSTOMER, OFFICE).await?;
    let mut mobile = PhoneConfig::new(stage::MIA, MOBILE, service.sip);
    mobile.port = mobile_port;
    let supervisor_phone = Phone::start(mobile).await?;
    let desk = Desk::sign_in(service, "mia", stage::MIA_PASSWORD).await?;

    timeline.say(&format!("the customer ({CUSTOMER}) dials 204"));
    let call = stage::converse(&customer_phone, &mut agent_phone, stage::AGENT).await?;
    timeline.say("agent 204 has answered: the call is connected");
    stage::wait_for_sound(&call.agent.media).await?;
    stage::wait_for_sound(&call.customer.media).await?;
    timeline.say("customer and agent hear each other");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let number = stage::SUPERVISING_NUMBER;
    timeline.say(&format!("Mia dials {number} from {}", stage::MIA));
    let supervisor = supervisor_phone
        .dial(number)
        .await
        .with_context(|| format!("the supervisor's call to {number}"))?;
    let answered = clock::now();
    timeline.say(&format!("{number} has answered"));
    supervisor.media.say(Voice::Loop(voices::supervisor()));
    stage::wait_for_sound(&supervisor.media).await?;
    let heard = clock::now();
    let after = heard.duration_since(answered).as_millis();
    let hears = (heard, format!("Mia hears the call, {after} ms later"));

    let ears = Ears {
        agent: &call.agent,
        customer: &call.customer,
        supervisor: &supervisor,
    };
    let show = Show {
        timeline,
        desk,
        ears,
        prompts: demo.share.as_deref(),
    };
    let mut table = vec![show.role(&MONITOR, answered, answered, Some(hears)).await?];
    for keys in &demo.keys {
        let (pressed, ended) = show.press(keys).await?;
        table.push(match role_of(keys) {
            Some(role) => show.role(&role, pressed, ended, None).await?,
            None => {
                tokio::time::sleep(SETTLE + MEASURE).await;
                Measured::nothing(keys)
            }
        });
    }
    let Show { ears, .. } = show;

    println!();
    println!(
        "{:<18} {:<26} {:<26} {:<26} as agreed",
        "role", "agent hears", "customer hears", "supervisor hears"
    );
    let mut all_right = true;
    for row in &table {
        println!("{}", row.line);
        all_right &= row.right;
    }
    println!();

    all_right &= ears.check_streams();
    ears.write_wavs(&demo.out)?;
    println!(
        "Listen: {0}/agent.wav, {0}/customer.wav, {0}/supervisor.wav",
        demo.out.display()
    );

    // Who has hung up already is not asked again.
    let _ = supervisor.hang_up().await;
    let _ = call.customer.hang_up().await;
    let _ = call.agent.hang_up().await;
    let phones = Phones {
        customer: customer_phone,
        agent: agent_phone,
        supervisor: supervisor_phone,
    };
    Ok((phones, all_right))
}

fn start(demo: &Demo, mobile_port: u16) -> anyhow::Result<Service> {
    let mut setup = stage::fresh_setup(&demo.out.join("service"))?;
    setup.trunks = stage::trunks_with(mobile_port);
    setup.share = demo.share.clone();
    // Even of a demo that is killed no service is left.
    setup.ends_with_us = true;
    if demo.keep {
        // A softphone and a browser are easier to point at well-known ports, where these are free.
        let usual = Setup {
            sip_port: Some(5060),
            http_port: Some(8080),
            ..setup.clone()
        };
        if std::net::UdpSocket::bind("127.0.0.1:5060").is_ok()
            && std::net::TcpListener::bind("127.0.0.1:5060").is_ok()
            && std::net::TcpListener::bind("127.0.0.1:8080").is_ok()
        {
            return Service::start(&demo.exe, &usual);
        }
    }
    Service::start(&demo.exe, &setup)
}
/// All that is looked at while the keys are pressed.
struct Show<'a> {
    timeline: Timeline,
    desk: Desk,
    ears: Ears<'a>,
    /// The folder of `prompts/`.
    prompts: Option<&'a Path>,
}

impl Show<'_> {
    /// Presses keys one by one; when the first began and the last one ended.
    async fn press(&self, keys: &str) -> anyhow::Result<(Instant, Instant)> {
        let line = self.ears.supervisor;
        let began = clock::now();
        let mut ended = began;
        for key in keys.chars() {
            self.timeline.say(&format!("Mia presses {key}"));
            ended = line
                .press(key.encode_utf8(&mut [0; 4]), line.usual_keys())
                .await?;
        }
        Ok((began, ended))
    }

    /// Waits for a role that was asked for, lets it settle, tells what happened since `from`, and
    /// measures it. `known` has happened as well.
    async fn role(
        &self,
        role: &Role,
        from: Instant,
        asked: Instant,
        known: Option<(Instant, String)>,
    ) -> anyhow::Result<Measured> {
        let mut happened = Vec::from_iter(known);
        happened.push(match self.desk.until_role(role.state).await {
            Ok(at) => {
                let after = at.saturating_duration_since(asked).as_millis();
                (
                    at,
                    format!("role in force: {}, {after} ms later", role.name),
                )
            }
            Err(why) => {
                let text = format!("the role {} is not in force: {why}", role.name);
                (clock::now(), text)
            }
        });
        tokio::time::sleep(SETTLE).await;
        happened.extend(self.prompt(role.prompt, from)?);
        self.timeline.tell(happened);
        let begins = clock::now();
        tokio::time::sleep(MEASURE).await;
        // What was said last has arrived by now.
        let ends = clock::now() - Duration::from_millis(100);
        let measured = self.ears.measure(role.name, begins, ends);
        let seconds = ends.duration_since(begins).as_secs_f64();
        let agreed = if measured.right {
            "as agreed"
        } else {
            "NOT as agreed"
        };
        self.timeline.say(&format!(
            "measured for {seconds:.1} s: {} ({agreed})",
            measured.told
        ));
        Ok(measured)
    }

    /// When a prompt began to be heard by the supervisor, where it was.
    fn prompt(&self, stem: &str, from: Instant) -> anyhow::Result<Option<(Instant, String)>> {
        let Some(share) = self.prompts else {
            return Ok(None);
        };
        let heard = self.ears.supervisor.media.heard();
        let heard = heard.between(from, clock::now());
        let found = find(&heard, &prompt_samples(share, stem)?);
        let words = prompt_words(share, stem).unwrap_or_else(|| stem.to_owned());
        let told = (from + found.delay, format!("Mia is told \"{words}\""));
        Ok(found.heard().then_some(told))
    }
}

/// What a prompt says, where its text is installed beside it.
fn prompt_words(share: &Path, stem: &str) -> Option<String> {
    let text = std::fs::read_to_string(share.join("prompts/en.txt")).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once('\t'));
    let (_, words) = lines.find(|(name, _)| *name == stem)?;
    Some(words.to_owned())
}
