use regex::Regex;

use super::*;
use crate::control::harness::acme::{carrier, pbx, phone_205};
use crate::control::harness::house;

fn caller(origin: Origin, number: &str) -> Caller {
    let invitation = Invitation {
        dialled: "204".into(),
        caller: Some(number.into()),
        display_name: None,
        origin,
        sdp: None,
        source: [127, 0, 0, 1].into(),
        max_forwards: 70,
    };
    Caller::of(&house::directory(), &invitation)
}

fn lead(settings: &Settings, caller: &Caller, number: &str) -> Result<Destination, NoRoute> {
    resolve(settings, &house::directory(), caller, number, |_| true)
}

fn from(names: &[&str]) -> Settings {
    let mut settings = house::settings();
    settings.routes = vec![Route {
        number: Regex::new("^\\d+$").unwrap(),
        from: Some(names.iter().map(|name| Arc::from(*name)).collect()),
        to: RouteTarget::Trunk {
            name: "carrier".into(),
            external: true,
        },
    }];
    settings
}

#[test]
fn agents_are_known_by_their_phone_their_contact_or_an_inside_number() {
    let agent = |caller: Caller| caller.agent.map(|agent| agent.extension.to_string());

    assert_eq!(agent(caller(phone_205(), "x")).as_deref(), Some("205"));
    assert_eq!(agent(caller(pbx(), "204")).as_deref(), Some("204"));
    assert_eq!(agent(caller(pbx(), "299")), None);
    assert_eq!(
        agent(caller(carrier(), "204")),
        None,
        "anybody may claim that"
    );
}

#[test]
fn an_extension_of_two_organisations_is_nobodys_when_it_calls_from_inside() {
    let mut directory = house::directory();
    let mut twin = directory.agents.values().next().unwrap().clone();
    twin.organisation = "zeta".into();
    let mut zeta = directory.organisations["acme"].clone();
    zeta.id = "zeta".into();
    directory.organisations.insert("zeta".into(), zeta);
    directory
        .agents
        .insert(("zeta".into(), twin.extension.clone()), twin.clone());

    assert_eq!(only_agent(&directory, "204"), None);
    let zeta = Caller {
        agent: Some(AgentKey {
            organisation: "zeta".into(),
            extension: "300".into(),
        }),
        ..Caller::service()
    };
    let called = agent_for(&directory, &zeta, "204").unwrap();
    assert_eq!(&*called.organisation, "zeta", "colleagues come first");
}

#[test]
fn the_first_route_that_matches_and_is_open_wins() {
    let mut settings = house::settings();
    settings.routes.insert(
        0,
        Route {
            number: Regex::new("^204$").unwrap(),
            from: Some(vec!["pbx".into()]),
            to: RouteTarget::Pool("support".into()),
        },
    );

    let inside = lead(&settings, &caller(pbx(), "1"), "204").unwrap();
    let outside = lead(&settings, &caller(carrier(), "1"), "204").unwrap();

    assert!(inside.pool.is_some());
    assert_eq!(outside.pool, None);
}

#[test]
fn from_names_trunks_and_agents() {
    let open = |names: &[&str], caller: Caller| lead(&from(names), &caller, "12345").is_ok();

    assert!(open(&["carrier"], caller(carrier(), "1")));
    assert!(!open(&["carrier"], caller(pbx(), "1")));
    assert!(!open(&["agents"], caller(pbx(), "1")));
    assert!(open(&["agents"], caller(pbx(), "204")));
    assert!(open(&["agents"], caller(phone_205(), "1")));
    assert!(!open(&["agents"], caller(carrier(), "204")));
}

#[test]
fn a_pool_rings_its_free_agents_but_not_the_one_who_calls() {
    let settings = house::settings();
    let directory = house::directory();
    let ring = |caller: &Caller, busy: &str| {
        resolve(&settings, &directory, caller, "support", |agent| {
            &*agent.extension != busy
        })
        .map(|destination| {
            destination
                .callees
                .iter()
                .filter_map(|callee| callee.agent.as_ref())
                .map(|agent| agent.extension.to_string())
                .collect::<Vec<_>>()
        })
    };

    let customer = caller(carrier(), "1");
    assert_eq!(ring(&customer, "-").unwrap(), ["204", "205"]);
    assert_eq!(ring(&customer, "204").unwrap(), ["205"]);
    let colleague = caller(phone_205(), "205");
    assert_eq!(ring(&colleague, "-").unwrap(), ["204"]);
    assert_eq!(ring(&colleague, "204"), Err(NoRoute::AllBusy));
}

#[test]
fn a_pool_without_agents_is_unavailable() {
    let mut directory = house::directory();
    directory.agents.clear();

    let lead = resolve(
        &house::settings(),
        &directory,
        &caller(carrier(), "1"),
        "support",
        |_| true,
    );

    assert_eq!(lead, Err(NoRoute::NobodyThere));
    assert_eq!(NoRoute::NobodyThere.status(), 480);
}

#[test]
fn an_agent_with_a_contact_is_dialled_there_and_another_where_they_registered() {
    let settings = house::settings();
    let customer = caller(carrier(), "1");
    let target = |number| {
        lead(&settings, &customer, number).unwrap().callees[0]
            .target
            .clone()
    };

    assert_eq!(target("204"), Target::Uri("sip:204@127.0.0.3".into()));
    assert!(matches!(target("205"), Target::Registered(_)));
}

#[test]
fn an_extension_behind_an_inside_trunk_is_that_agent() {
    let mut settings = house::settings();
    let trunk = |external| RouteTarget::Trunk {
        name: "pbx".into(),
        external,
    };
    let customer = caller(carrier(), "1");
    let mut agent = |external| {
        settings.routes[0].to = trunk(external);
        settings.routes[0].from = Some(vec!["carrier".into()]);
        let callee = lead(&settings, &customer, "204").unwrap().callees.remove(0);
        callee.agent.map(|agent| agent.extension.to_string())
    };

    assert_eq!(agent(false).as_deref(), Some("204"));
    assert_eq!(agent(true), None);
}
