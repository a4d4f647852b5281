//! `sottovoce demo errors`: provokes 9011 to 9015, each by its own cause, and finds what was spoken in
//! the supervisor's received audio.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::demo::ear::find;
use crate::demo::measure::write_wav;
use crate::demo::media::Voice;
use crate::demo::phone::{Line, Phone};
use crate::demo::service::Service;
use crate::demo::stage::{self, Conversation, MOBILE, OFFICE};
use crate::edge::clock;
use crate::edge::service::Signals;

pub struct Errors {
    pub out: PathBuf,
    pub exe: PathBuf,
    pub share: PathBuf,
}

/// The closing sentence of each code, as its prompt file is called.
const SENTENCES: [(u16, &str); 5] = [
    (9011, "conference-failed"),
    (9012, "coach-not-added"),
    (9013, "pupil-gone"),
    (9014, "user-gone"),
    (9015, "coach-not-joined"),
];

struct Cast {
    service: Service,
    agent: Phone,
    customer: Phone,
    mia: Phone,
    leo: Phone,
}

/// Runs all five; an error when one is not spoken, or is heard by a party. Asked to end, it ends its
/// service first.
pub async fn run(errors: Errors) -> anyhow::Result<()> {
    std::fs::create_dir_all(&errors.out)
        .with_context(|| format!("creating {}", errors.out.display()))?;
    println!(
        "{:<6} {:<56} {:<24} {:<14} rows of audit",
        "code", "provoked by", "supervisor hears it", "parties do"
    );
    let mut signals = Signals::new()?;
    let right = tokio::select! {
        provoked = errors.provoke_all() => provoked?,
        name = signals.next() => bail!("{name} before every code was provoked"),
    };
    println!("Listen: {}/9011.wav to 9015.wav", errors.out.display());
    ensure!(right, "a code was not spoken, or was heard by a party");
    println!("Each code was spoken to the supervisor alone.");
    Ok(())
}

impl Errors {
    async fn provoke_all(&self) -> anyhow::Result<bool> {
        let mut right = true;
        right &= self.no_more_conferences().await.context("9011")?;
        right &= self.second_coach().await.context("9012")?;
        right &= self.agent_gone().await.context("9013")?;
        right &= self.customer_gone().await.context("9014")?;
        right &= self.join_fails().await.context("9015")?;
        Ok(right)
    }

    async fn cast(&self, name: &str, line: Option<&str>, fault: bool) -> anyhow::Result<Cast> {
        let mut setup = stage::fresh_setup(&self.out.join("service").join(name))?;
        setup.share = Some(self.share.clone());
        setup.ends_with_us = true;
        if let Some(line) = line {
            setup = setup.line("media", line);
        }
        setup.fault = fault.then(|| "conference-join".to_owned());
        let service = Service::start(&self.exe, &setup)?;
        Ok(Cast {
            agent: stage::agent(&service, stage::AGENT, stage::AGENT_PASSWORD).await?,
            customer: stage::phone(&service, "+358501112222", OFFICE).await?,
            mia: stage::phone(&service, stage::MIA, MOBILE).await?,
            leo: stage::phone(&service, stage::LEO, MOBILE).await?,
            service,
        })
    }

    async fn no_more_conferences(&self) -> anyhow::Result<bool> {
        let mut cast = self
            .cast("9011", Some("max_conferences = 1"), false)
            .await?;
        let first = stage::converse(&cast.customer, &mut cast.agent, stage::AGENT).await?;
        let leo = dial(&cast.leo).await?;
        // The second call is the only one left for Mia once she names its agent.
        let mut second_agent = stage::agent(&cast.service, stage::SECOND_AGENT, "onni-205").await?;
        let second =
            stage::converse(&cast.customer, &mut second_agent, stage::SECOND_AGENT).await?;
        let from = clock::now();
        let mia = dial_unspoken(&cast.mia).await?;
        mia.press("205#", mia.usual_keys()).await?;
        let right = self
            .check(
                9011,
                "a second conference where one is allowed",
                from,
                &cast.service,
                &mia,
                &second,
            )
            .await?;
        hang_up(&[&leo, &mia, &first.customer, &second.customer]).await;
        cast.service.stop()?;
        Ok(right)
    }

    async fn second_coach(&self) -> anyhow::Result<bool> {
        let mut cast = self.cast("9012", None, false).await?;
        let call = stage::converse(&cast.customer, &mut cast.agent, stage::AGENT).await?;
        let leo = dial(&cast.leo).await?;
        leo.press("4#", leo.usual_keys()).await?;
        let mia = dial(&cast.mia).await?;
        let from = mia.press("4#", mia.usual_keys()).await?;
        let right = self
            .check(
                9012,
                "4# while a colleague coaches",
                from,
                &cast.service,
                &mia,
                &call,
            )
            .await?;
        hang_up(&[&leo, &mia, &call.customer]).await;
        cast.service.stop()?;
        Ok(right)
    }

    async fn agent_gone(&self) -> anyhow::Result<bool> {
        let mut cast = self.cast("9013", None, false).await?;
        let call = stage::converse(&cast.customer, &mut cast.agent, stage::AGENT).await?;
        let mia = dial(&cast.mia).await?;
        call.agent.hang_up().await?;
        let from = mia.press("4#", mia.usual_keys()).await?;
        let right = self
            .check(
                9013,
                "4# just after the agent hung up",
                from,
                &cast.service,
                &mia,
                &call,
            )
            .await?;
        hang_up(&[&mia]).await;
        cast.service.stop()?;
        Ok(right)
    }

    async fn customer_gone(&self) -> anyhow::Result<bool> {
        let mut cast = self.cast("9014", None, false).await?;
        let call = stage::converse(&cast.customer, &mut cast.agent, stage::AGENT).await?;
        let mia = dial(&cast.mia).await?;
        cast.agent.answer_byes(false);
        call.customer.hang_up().await?;
        let from = mia.press("6#", mia.usual_keys()).await?;
        let right = self
            .check(
                9014,
                "6# when the customer has left the agent alone",
                from,
                &cast.service,
                &mia,
                &call,
            )
            .await?;
        cast.agent.answer_byes(true);
        hang_up(&[&mia]).await;
        cast.service.stop()?;
        Ok(right)
    }

    async fn join_fails(&self) -> anyhow::Result<bool> {
        let mut cast = self.cast("9015", None, true).await?;
        let call = stage::converse(&cast.customer, &mut cast.agent, stage::AGENT).await?;
        let from = clock::now();
        let mia = dial_unspoken(&cast.mia).await?;
        let right = self
            .check(
                9015,
                "the fault point conference-join while dialling in",
                from,
                &cast.service,
                &mia,
                &call,
            )
            .await?;
        hang_up(&[&mia, &call.customer]).await;
        cast.service.stop()?;
        Ok(right)
    }

    /// Rows of the audit with this code, as its export shows them.
    fn audited(&self, service: &Service, code: u16) -> anyhow::Result<usize> {
        let output = std::process::Command::new(&self.exe)
            .args(["audit", "export", "--format", "csv", "--config"])
            .arg(&service.config)
            .output()
            .context("running audit export")?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8_lossy(&output.stdout);
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let column = header.split(',').position(|name| name == "code");
        let column = column.context("the audit has no column \"code\"")?;
        let code = code.to_string();
        Ok(lines
            .filter(|line| line.split(',').nth(column) == Some(&code))
            .count())
    }

    /// Waits for the code's row in the audit, lets it be spoken to its end, and looks for it in every ear.
    async fn check(
        &self,
        code: u16,
        cause: &str,
        from: Instant,
        service: &Service,
        supervisor: &Line,
        parties: &Conversation,
    ) -> anyhow::Result<bool> {
        let Some((_, sentence)) = SENTENCES.into_iter().find(|(number, _)| *number == code) else {
            bail!("no sentence for {code}");
        };
        let prompt = prompt_samples(&self.share, sentence)?;
        let mut rows = 0;
        while rows == 0 && clock::now().duration_since(from) < stage::PATIENCE {
            tokio::time::sleep(Duration::from_millis(300)).await;
            rows = self.audited(service, code)?;
        }
        // Four digits and the sentence last 4.5 s at most.
        tokio::time::sleep(Duration::from_millis(5500)).await;
        let to = clock::now();
        let spoken = find(&supervisor.media.heard().between(from, to), &prompt);
        rows = self.audited(service, code)?.max(rows);
        let leaked = [("agent", &parties.agent), ("customer", &parties.customer)]
            .into_iter()
            .filter(|(_, line)| find(&line.media.heard().between(from, to), &prompt).heard())
            .map(|(name, _)| name)
            .collect::<Vec<_>>();
        println!(
            "{code:<6} {cause:<56} {:<24} {:<14} {rows}",
            if spoken.heard() {
                format!("yes, after {:.1} s", spoken.delay.as_secs_f64())
            } else {
                "NO".to_owned()
            },
            if leaked.is_empty() {
                "no".to_owned()
            } else {
                leaked.join(", ")
            }
        );
        write_wav(
            &self.out.join(format!("{code}.wav")),
            &supervisor.media.heard().between(from, to),
        )?;
        Ok(spoken.heard() && leaked.is_empty() && rows == 1)
    }
}

/// Dials the supervising number and waits until the call is heard.
async fn dial(phone: &Phone) -> anyhow::Result<Line> {
    let line = dial_unspoken(phone).await?;
    stage::wait_for_sound(&line.media).await?;
    // "Listening." is over by then, so that what follows is not cut into it.
    tokio::time::sleep(Duration::from_secs(2)).await;
    Ok(line)
}

async fn dial_unspoken(phone: &Phone) -> anyhow::Result<Line> {
    let line = phone
        .dial(stage::SUPERVISING_NUMBER)
        .await
        .context("dialling 800")?;
    line.media.say(Voice::Silence);
    Ok(line)
}

async fn hang_up(lines: &[&Line]) {
    for line in lines {
        // Whose call is over already needs no BYE.
        let _ = line.hang_up().await;
    }
}

/// A prompt of the share folder at 8 kHz.
pub fn prompt_samples(share: &Path, stem: &str) -> anyhow::Result<Vec<i16>> {
    let path = share.join("prompts/en").join(format!("{stem}.wav"));
    let mut reader =
        hound::WavReader::open(&path).with_context(|| format!("reading {}", path.display()))?;
    let samples: Vec<i16> = reader.samples::<i16>().collect::<Result<_, _>>()?;
    if reader.spec().sample_rate == 8000 {
        return Ok(samples);
    }
    Ok(audio_codec::resample(&samples, 16_000, 8000))
}
