//! `sottovoce demo --keep`: the call, the console and the phones stay up, so that a browser and a
//! softphone can join.
//!
//! The customer calls again whenever the call has ended. Mia's mobile is answered by the demo, so
//! that the console can be tried without any phone: it rings for a moment, in which a softphone of
//! the newcomer's own may be quicker.

use std::time::Duration;

use tracing::debug;

use crate::demo::media::Voice;
use crate::demo::phone::{Incoming, Phone};
use crate::demo::roles::Demo;
use crate::demo::service::Service;
use crate::demo::stage::{self, Conversation};
use crate::demo::voices;
use crate::edge::service::Signals;

/// How long Mia's mobile rings before the demo answers it.
const RINGS: Duration = Duration::from_secs(3);
/// Between picking up and the `1` that a phone outside the internal network is asked for.
const PICKED_UP: Duration = Duration::from_secs(1);
/// Between one call and the next.
const BETWEEN_CALLS: Duration = Duration::from_secs(4);

const ADMINISTRATOR: &str = "admin";
const ADMINISTRATOR_PASSWORD: &str = "admin-demo";

/// The phones of the stage.
pub struct Phones {
    pub customer: Phone,
    pub agent: Phone,
    pub supervisor: Phone,
}

/// Keeps everything up until it is asked to end.
pub async fn stay(
    demo: &Demo,
    service: &Service,
    phones: Phones,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let Phones {
        customer,
        mut agent,
        supervisor,
    } = phones;
    tokio::task::block_in_place(|| {
        service.add_administrator(&demo.exe, ADMINISTRATOR, ADMINISTRATOR_PASSWORD)
    })?;
    let answering = tokio::spawn(answer_calls(supervisor));
    let mut call = stage::converse(&customer, &mut agent, stage::AGENT).await?;
    explain(service);
    loop {
        tokio::select! {
            _ = signals.next() => break,
            () = is_over(&call) => {}
        }
        // A call that has begun comes to stand before it is hung up, or its phones would be gone
        // when the service says goodbye to them.
        match stage::converse(&customer, &mut agent, stage::AGENT).await {
            Ok(again) => call = again,
            Err(error) => debug!(%error, "the demo's customer could not call again"),
        }
    }
    answering.abort();
    // Who has hung up already is not asked again.
    let _ = call.customer.hang_up().await;
    let _ = call.agent.hang_up().await;
    Ok(())
}

/// The call has ended, and the customer is about to call again.
async fn is_over(call: &Conversation) {
    call.customer.ended().await;
    tokio::time::sleep(BETWEEN_CALLS).await;
}

fn explain(service: &Service) {
    let number = stage::SUPERVISING_NUMBER;
    let (agent, agent_password) = (stage::AGENT, stage::AGENT_PASSWORD);
    let password = stage::MIA_PASSWORD;
    println!();
    println!("Customer and agent {agent} are talking. They stay up until you press Ctrl-C.");
    println!();
    println!("  1. Open     http://{}/", service.http);
    println!("  2. Sign in  user mia, password {password}");
    println!("  3. Press Listen, and have your phones called: the demo answers Mia's mobile after");
    println!(
        "     {} s. Then whisper, join or take over from the page.",
        RINGS.as_secs()
    );
    println!();
    println!("  With a softphone of your own:");
    println!(
        "     register  user mia, password {password}, registrar {} (UDP or TCP)",
        service.sip
    );
    println!("     listen    dial {number}, or answer when the page has your phones called");
    println!(
        "     keys      4# whisper, 8# whisper to the caller, 6# barge, 1# take over, 5# back"
    );
    println!();
    println!("  The agent's page, to ask for help:  user {agent}, password {agent_password}");
    println!(
        "  The administrator's pages:          user {ADMINISTRATOR}, password {ADMINISTRATOR_PASSWORD}"
    );
}

/// Mia's mobile: whatever rings is answered, and `1` is pressed as the service asks.
async fn answer_calls(mut phone: Phone) {
    while let Some(incoming) = phone.incoming().await {
        tokio::spawn(async move {
            if let Err(error) = answer(incoming).await {
                debug!(%error, "Mia's mobile was not answered");
            }
        });
    }
}

async fn answer(mut incoming: Incoming) -> anyhow::Result<()> {
    incoming.ring().await?;
    tokio::select! {
        // Another phone was quicker.
        _ = incoming.cancelled() => return Ok(()),
        () = tokio::time::sleep(RINGS) => {}
    }
    let line = incoming.answer().await?;
    line.media.say(Voice::Loop(voices::supervisor()));
    tokio::time::sleep(PICKED_UP).await;
    line.press("1", line.usual_keys()).await?;
    line.ended().await;
    Ok(())
}
