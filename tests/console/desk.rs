//! Help requests, from the agent's page to two supervisors who race for it.

use sottovoce::demo::stage;

use crate::browser::Browser;
use crate::scene::{Scene, stop};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_is_asked_for_raced_for_given_and_closed() {
    let scene = Scene::new("console-help").await;
    let agent = Browser::signed_in(&scene.service, stage::AGENT, stage::AGENT_PASSWORD).await;
    let mia = Browser::signed_in(&scene.service, "mia", stage::MIA_PASSWORD).await;
    let leo = Browser::signed_in(&scene.service, "leo", "leo-demo").await;

    agent.until_text("#desk", "+358501112222").await;
    agent
        .find("#ask textarea")
        .await
        .send_keys("About the invoice")
        .await
        .expect("typing");
    agent.click("#ask button").await;
    agent
        .until_text("#desk [data-help]", "Waiting for a supervisor")
        .await;
    for supervisor in [&mia, &leo] {
        supervisor
            .until_text("#urgent .banner", "Aino asks for help")
            .await;
        supervisor
            .until_text("#rows .tag.warn", "asks for help")
            .await;
        supervisor.open("/help").await;
        supervisor
            .until_text("#requests .help", "About the invoice")
            .await;
        supervisor
            .find("#requests .help [data-do=coach]:disabled")
            .await;
    }

    // Both press Confirm at once; one has it. Who is a moment later may find the banner gone.
    let press = "document.querySelector('#urgent [data-do=help-accept]')?.click()";
    tokio::join!(mia.evaluate(press), leo.evaluate(press));
    for supervisor in [&mia, &leo] {
        supervisor.until_gone("#urgent .banner").await;
        supervisor
            .until_text("#requests .help", "In Progress")
            .await;
        supervisor
            .until_text("#requests .help", "Help provided by")
            .await;
    }
    let mine = |text: &str| !text.contains("taken by");
    let (of_mia, of_leo) = (
        mia.text("#requests .help").await,
        leo.text("#requests .help").await,
    );
    assert_ne!(
        mine(&of_mia),
        mine(&of_leo),
        "one has it:\n{of_mia}\n{of_leo}"
    );
    let (winner, name, loser) = match mine(&of_mia) {
        true => (&mia, "Mia", &leo),
        false => (&leo, "Leo", &mia),
    };
    winner.find("#requests .help [data-do=coach]:enabled").await;
    loser.find("#requests .help [data-do=coach]:disabled").await;
    loser
        .until_text("#requests .help", &format!("taken by {name}"))
        .await;
    agent.until_text("#desk [data-help]", name).await;
    winner.open("/").await;
    winner.until_text("#rows", "Aino").await;
    winner.until_gone("#rows .tag.warn").await;

    // The agent closes it, both are told, and a new one can be made.
    winner.open("/help").await;
    agent.click("#desk [data-do=help-close]").await;
    // A toast does not stay.
    tokio::join!(
        winner.until_text("#toasts", "closed"),
        agent.until_text("#desk #last", "closed"),
    );
    for supervisor in [&mia, &leo] {
        supervisor.until_text("#requests", "Closed").await;
    }
    agent.click("#ask button").await;
    agent
        .until_text("#desk [data-help]", "Waiting for a supervisor")
        .await;
    loser
        .until_text("#urgent .banner", "Aino asks for help")
        .await;

    // Cancelling asks first.
    agent.click("#desk [data-do=help-cancel]").await;
    agent.click("#sure [data-do=close-dialog]").await;
    agent
        .until_text("#desk [data-help]", "Waiting for a supervisor")
        .await;
    agent.click("#desk [data-do=help-cancel]").await;
    agent.click("#sure button[type=submit]").await;
    agent.until_text("#desk #last", "cancelled").await;
    loser.until_gone("#urgent .banner").await;

    for browser in [agent, mia, leo] {
        browser.close().await;
    }
    stop(scene.service);
}
