use std::time::Duration;

use crate::control::directory::{Agent, Organisation, Permissions, SupervisorEntry};
use crate::control::record::Direction;
use crate::control::role::{Ear, Supervision};
use crate::edge::clock;
use crate::edge::http::events::event::Event;
use crate::id::{HelpId, Language};

use super::*;

#[test]
fn a_call_that_is_over_at_once_is_described_as_it_was() {
    let mut model = Model::default();

    let started = take(&mut model, Notice::CallAnswered(call("204")));
    let ended = take(&mut model, Notice::CallEnded(CallId(1)));

    assert_eq!(names(&started), ["call.started"]);
    assert_eq!(names(&ended), ["call.ended"]);
    let Data::Call(row) = &ended[0].data else {
        panic!("{ended:?}");
    };
    assert_eq!((&*row.id, &*row.agent.name), ("1", "Aino"));
    assert_eq!(row.contact.as_deref(), Some("Customer"));
    assert!(
        take(&mut model, Notice::CallEnded(CallId(1))).is_empty(),
        "once"
    );
}

#[test]
fn a_call_that_nobody_answered_is_not_told_of() {
    let mut model = Model::default();

    let rung = take(&mut model, Notice::CallStarted(CallId(1)));
    let ended = take(&mut model, Notice::CallEnded(CallId(1)));

    assert!(rung.is_empty() && ended.is_empty());
}

#[test]
fn a_call_that_goes_to_another_agent_ends_for_some_and_starts_for_others() {
    let mut model = Model::default();
    take(&mut model, Notice::CallAnswered(call("204")));

    assert!(!model.is_new_to_its_agent(&call("204")));
    assert!(model.is_new_to_its_agent(&call("301")));
    let moved = take(&mut model, Notice::CallTransferred(call("301")));

    assert_eq!(names(&moved), ["call.ended", "call.started"]);
    assert_eq!(seen_by("mia", &moved), ["call.ended"]);
    assert_eq!(seen_by("sam", &moved), ["call.started"]);
    assert_eq!(seen_by("all", &moved), ["call.started"]);
    let told = moved.iter().filter(|draft| draft.concern.is_for_webhooks());
    let told: Vec<_> = told.map(|draft| draft.name.text()).collect();
    assert_eq!(told, ["call.started"], "the call goes on");
    let over = take(&mut model, Notice::CallEnded(CallId(1)));
    assert!(seen_by("mia", &over).is_empty());
    assert_eq!(seen_by("sam", &over), ["call.ended"]);
}

#[test]
fn a_hold_is_told_once_and_only_of_a_call_that_is_known() {
    let mut model = Model::default();
    let talking = call("204");
    let held = CallView {
        on_hold: true,
        ..talking.clone()
    };
    let unknown = take(&mut model, Notice::CallChanged(held.clone()));
    take(&mut model, Notice::CallAnswered(talking.clone()));

    let told = [held.clone(), held, talking]
        .map(|view| take(&mut model, Notice::CallChanged(view)))
        .concat();

    assert!(unknown.is_empty());
    assert_eq!(names(&told), ["call.changed", "call.changed"]);
    assert_eq!(seen_by("mia", &told).len(), 2);
    assert!(seen_by("sam", &told).is_empty());
    let on_hold = told.iter().map(|draft| match &draft.data {
        Data::Call(row) => row.on_hold,
        other => panic!("{other:?}"),
    });
    assert_eq!(on_hold.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_session_starts_once_changes_and_ends_once() {
    let mut model = Model::default();
    take(&mut model, Notice::CallAnswered(call("204")));
    let told = [
        Notice::SessionStarted(session(SessionState::Ringing)),
        Notice::SessionMoved(session(SessionState::Confirming)),
        Notice::SessionMoved(session(SessionState::Confirming)),
        Notice::SessionMoved(session(SessionState::Supervising(Supervision::Monitoring))),
        Notice::RoleChanged {
            session: session(SessionState::Supervising(Supervision::Coaching(Ear::Pupil))),
            took: Duration::ZERO,
        },
        Notice::SessionEnded(SessionId(2)),
        Notice::SessionEnded(SessionId(2)),
    ]
    .map(|notice| take(&mut model, notice))
    .concat();

    assert_eq!(
        names(&told),
        [
            "session.started",
            "session.role",
            "session.role",
            "session.role",
            "session.ended"
        ]
    );
    assert_eq!(seen_by("mia", &told).len(), 5, "one's own");
    assert_eq!(seen_by("all", &told).len(), 5, "in a call that one may see");
    assert!(seen_by("sam", &told).is_empty());
    let events = told.into_iter().map(|draft| Event::new(1, draft));
    assert!(
        events
            .into_iter()
            .all(|event| event.for_agent("acme", "204").is_none())
    );
}

#[test]
fn whose_a_session_is_differs_from_reader_to_reader_and_agents_are_not_told() {
    let mut model = Model::default();
    take(&mut model, Notice::CallAnswered(call("204")));
    let monitoring = SessionState::Supervising(Supervision::Monitoring);
    take(&mut model, Notice::SessionStarted(session(monitoring)));

    let ended = take(&mut model, Notice::CallEnded(CallId(1)));

    let event = Event::new(9, ended[0].clone());
    let directory = directory();
    let text = |user: &str| {
        let entry = &directory.supervisors[&("acme".into(), user.into())];
        let block = event.for_supervisor(&directory, entry).unwrap();
        String::from_utf8(block.to_vec()).unwrap()
    };
    assert!(text("mia").starts_with("id: 9\nevent: call.ended\ndata: {"));
    assert!(text("mia").ends_with("}\n\n"));
    assert!(text("mia").contains("\"mine\":true"));
    assert!(text("all").contains("\"mine\":false"));
    let agent = event.for_agent("acme", "204").unwrap();
    let agent = String::from_utf8(agent.to_vec()).unwrap();
    assert!(agent.contains("\"sessions\":[]"), "{agent}");
    assert!(event.for_agent("acme", "301").is_none());
    assert!(event.for_agent("beta", "204").is_none());
    assert!(event.body.contains("\"event\":\"call.ended\""));
}

#[test]
fn a_watched_agents_call_is_told_to_those_who_watch_and_may_see_it() {
    let mut model = Model::default();
    take(&mut model, Notice::CallAnswered(call("204")));
    let by = ["mia", "sam", "gone"].map(Arc::from).to_vec();

    let told = model.watched(&directory(), 0, CallId(1), &"204".into(), by.clone());
    let other = model.watched(&directory(), 0, CallId(1), &"301".into(), by.clone());
    take(&mut model, Notice::CallEnded(CallId(1)));
    let late = model.watched(&directory(), 0, CallId(1), &"204".into(), by);

    let told = told.unwrap();
    let Data::OnCall(data) = &told.data else {
        panic!("{told:?}");
    };
    assert_eq!(data.watched_by, ["mia"]);
    assert_eq!(data.listen, "/api/v1/calls/1/ticket");
    assert_eq!(
        seen_by("mia", std::slice::from_ref(&told)),
        ["agent.on_call"]
    );
    assert!(seen_by("all", &[told]).is_empty());
    assert!(other.is_none() && late.is_none());
}

#[test]
fn a_request_for_help_is_told_by_its_state() {
    let mut model = Model::default();
    take(&mut model, Notice::CallAnswered(call("204")));
    let states = [
        (HelpState::Requested, "help.requested"),
        (HelpState::InProgress, "help.accepted"),
        (HelpState::Closed, "help.closed"),
        (HelpState::Cancelled, "help.cancelled"),
        (HelpState::Expired, "help.cancelled"),
    ];

    for (state, name) in states {
        let told = take(&mut model, Notice::HelpChanged(help(state)));
        assert_eq!(names(&told), [name]);
        assert_eq!(seen_by("mia", &told), [name]);
        assert!(seen_by("sam", &told).is_empty());
        let event = Event::new(1, told[0].clone());
        assert!(event.for_agent("acme", "204").is_some());
        assert!(event.for_agent("acme", "301").is_none());
    }
    let waits = take(&mut model, Notice::HelpChanged(help(HelpState::Requested)));
    assert_eq!(names(&waits), ["help.requested"]);
    let Data::Call(row) = &take(&mut model, Notice::CallEnded(CallId(1)))[0].data else {
        panic!("a call");
    };
    assert!(row.help_wanted);
}

fn take(model: &mut Model, notice: Notice) -> Vec<Draft> {
    model.notice(&directory(), 0, notice, Some("Customer".into()))
}

fn names(drafts: &[Draft]) -> Vec<&'static str> {
    drafts.iter().map(|draft| draft.name.text()).collect()
}

fn seen_by(user: &str, drafts: &[Draft]) -> Vec<&'static str> {
    let directory = directory();
    let entry = &directory.supervisors[&("acme".into(), user.into())];
    let events = drafts.iter().map(|draft| Event::new(1, draft.clone()));
    events
        .filter(|event| event.for_supervisor(&directory, entry).is_some())
        .map(|event| event.name.text())
        .collect()
}

fn call(agent: &str) -> CallView {
    CallView {
        id: CallId(1),
        organisation: Some("acme".into()),
        agent: Some(agent.into()),
        pool: None,
        direction: Direction::Inbound,
        from: "+358501112222".into(),
        to: agent.into(),
        customer: Some("+358501112222".into()),
        user_extension: None,
        answered_at: Some(clock::now()),
        on_hold: false,
        help_wanted: false,
        caller_on_net: false,
        supervisable: true,
        agent_ringing: false,
        agent_on_call: true,
    }
}

fn session(state: SessionState) -> SessionView {
    SessionView {
        id: SessionId(2),
        call: CallId(1),
        organisation: "acme".into(),
        supervisor: "mia".into(),
        state,
        coaching_enabled: true,
        started_at: clock::now(),
    }
}

fn help(state: HelpState) -> HelpView {
    HelpView {
        id: HelpId(3),
        organisation: "acme".into(),
        call: CallId(1),
        agent: "204".into(),
        reason: "price".into(),
        comment: "".into(),
        state,
        provided_by: None,
        raised_at: clock::now(),
        accepted_at: None,
        ended_at: None,
    }
}

/// Agents 204 and 301 of two pools; mia sees the one, sam the other, and all both.
fn directory() -> Directory {
    let mut directory = Directory::default();
    directory.organisations.insert(
        "acme".into(),
        Organisation {
            id: "acme".into(),
            name: "Acme".into(),
            supervising_numbers: Vec::new(),
            supervision: true,
            agent_notice: None,
            help_keys: true,
        },
    );
    for (extension, name, pool) in [("204", "Aino", "support"), ("301", "Sara", "sales")] {
        directory.agents.insert(
            ("acme".into(), extension.into()),
            Agent {
                organisation: "acme".into(),
                extension: extension.into(),
                name: name.into(),
                pools: vec![pool.into()],
                contact: None,
                agent_notice: None,
            },
        );
    }
    for (user, pools) in [
        ("mia", &["support"][..]),
        ("sam", &["sales"]),
        ("all", &["support", "sales"]),
    ] {
        directory.supervisors.insert(
            ("acme".into(), user.into()),
            SupervisorEntry {
                organisation: "acme".into(),
                user: user.into(),
                name: user.into(),
                phone: None,
                default_country: None,
                devices: Vec::new(),
                agent_extension: None,
                has_pin: false,
                pools: pools.iter().map(|pool| Arc::from(*pool)).collect(),
                may: Permissions::default(),
                language: Language::default(),
            },
        );
    }
    directory
}
