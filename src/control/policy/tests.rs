//! Every rule of the policy, one by one.

use std::sync::Arc;

use super::*;
use crate::control::directory::{Organisation, Permissions, Pool};
use crate::id::Language;

const SPEAKING: [Supervision; 4] = [
    Supervision::Coaching(Ear::Pupil),
    Supervision::Coaching(Ear::User),
    Supervision::Barged,
    Supervision::TakenOver,
];

#[test]
fn a_node_that_drains_or_cannot_record_begins_nothing() {
    for (draining, store_down) in [(true, false), (false, true), (true, true)] {
        let service = ServiceState {
            draining,
            store_down,
        };
        assert_eq!(begins(service), Err(ErrorCode::Busy));
    }
    assert_eq!(begins(ServiceState::default()), Ok(()));
}

#[test]
fn a_running_session_changes_while_the_node_drains_but_not_without_a_store() {
    let draining = ServiceState {
        draining: true,
        store_down: false,
    };
    let unrecorded = ServiceState {
        draining: false,
        store_down: true,
    };
    for order in Order::ALL {
        let harmless = order == Order::Role(Supervision::Monitoring) || order == Order::Status;

        assert_eq!(goes_on(draining, order), Ok(()), "{order:?}");
        assert_eq!(goes_on(unrecorded, order).is_ok(), harmless, "{order:?}");
    }
}

#[test]
fn an_organisation_without_supervision_and_an_unknown_one_are_9003() {
    let mut directory = directory();
    assert_eq!(organisation_supervises(&directory, "acme"), Ok(()));

    let acme = directory.organisations.get_mut("acme").unwrap();
    acme.supervision = false;

    for name in ["acme", "nobody"] {
        assert_eq!(
            organisation_supervises(&directory, name),
            Err(ErrorCode::SupervisionOff)
        );
    }
}

#[test]
fn scope_is_a_shared_pool_of_the_same_organisation() {
    let mia = mia();
    let aino = aino();
    assert!(in_scope(&mia, &aino));

    let mut elsewhere = aino.clone();
    elsewhere.organisation = "other".into();
    assert!(!in_scope(&mia, &elsewhere));

    let mut other_pool = aino.clone();
    other_pool.pools = vec!["sales".into()];
    assert!(!in_scope(&mia, &other_pool));

    let mut no_pool = aino;
    no_pool.pools.clear();
    assert!(!in_scope(&mia, &no_pool));
}

#[test]
fn each_switch_lets_its_own_kind_of_call_be_supervised() {
    let none = Supervisable {
        pool: false,
        outbound: false,
        direct: false,
    };
    for (kind, switches) in [
        (CallKind::Pool, Supervisable { pool: true, ..none }),
        (
            CallKind::Outbound,
            Supervisable {
                outbound: true,
                ..none
            },
        ),
        (
            CallKind::Direct,
            Supervisable {
                direct: true,
                ..none
            },
        ),
    ] {
        for other in [CallKind::Pool, CallKind::Outbound, CallKind::Direct] {
            assert_eq!(supervisable(switches, other), other == kind);
        }
    }
}

#[test]
fn a_call_that_the_supervisor_is_in_is_9006_as_agent_or_as_customer() {
    let settings = Settings::default();
    let mut mia = mia();
    assert_eq!(may_join(&settings, &mia, &talking()), Ok(()));

    mia.agent_extension = Some("204".into());
    assert_eq!(
        may_join(&settings, &mia, &talking()),
        Err(ErrorCode::OwnCall)
    );

    mia.agent_extension = Some("205".into());
    let mut call = talking();
    call.user_extension = Some("205");
    assert_eq!(may_join(&settings, &mia, &call), Err(ErrorCode::OwnCall));

    mia.agent_extension = None;
    call.user_extension = None;
    for customer in ["0401234567", "mia"] {
        call.customer = Some(customer);
        assert_eq!(may_join(&settings, &mia, &call), Err(ErrorCode::OwnCall));
    }
}

#[test]
fn joining_is_refused_in_the_fixed_order() {
    let settings = Settings {
        max_per_call: 1,
        ..Settings::default()
    };
    let mut mia = mia();
    mia.agent_extension = Some("204".into());
    mia.may.monitor = false;
    let mut call = talking();
    call.pupil_on_call = false;
    call.user_on_call = false;
    call.others = vec![Supervision::Monitoring];

    assert_eq!(may_join(&settings, &mia, &call), Err(ErrorCode::OwnCall));
    mia.agent_extension = None;
    assert_eq!(
        may_join(&settings, &mia, &call),
        Err(ErrorCode::NotPermitted)
    );
    mia.may.monitor = true;
    assert_eq!(may_join(&settings, &mia, &call), Err(ErrorCode::PupilGone));
    call.pupil_on_call = true;
    assert_eq!(may_join(&settings, &mia, &call), Err(ErrorCode::UserGone));
    call.user_on_call = true;
    assert_eq!(
        may_join(&settings, &mia, &call),
        Err(ErrorCode::CoachNotAdded)
    );
    call.others.clear();
    assert_eq!(may_join(&settings, &mia, &call), Ok(()));
}

#[test]
fn each_role_needs_its_own_permission() {
    for wanted in SPEAKING {
        let mut mia = mia();
        let revoked = match wanted {
            Supervision::Coaching(Ear::Pupil) => &mut mia.may.coach,
            Supervision::Coaching(Ear::User) => &mut mia.may.whisper_caller,
            Supervision::Barged => &mut mia.may.barge,
            Supervision::TakenOver => &mut mia.may.takeover,
            Supervision::Monitoring => &mut mia.may.monitor,
        };
        *revoked = false;

        for role in SPEAKING {
            let expected = match role == wanted {
                true => Err(ErrorCode::NotPermitted),
                false => Ok(()),
            };
            assert_eq!(change(&mia, &talking(), role), expected, "{role:?}");
        }
    }
}

#[test]
fn whispering_to_the_caller_follows_the_policy() {
    for (policy, on_net, off_net) in [
        (WhisperCaller::OnNet, Ok(()), Err(ErrorCode::NotPermitted)),
        (WhisperCaller::Always, Ok(()), Ok(())),
        (
            WhisperCaller::Never,
            Err(ErrorCode::NotPermitted),
            Err(ErrorCode::NotPermitted),
        ),
    ] {
        let settings = Settings {
            whisper_caller: policy,
            ..Settings::default()
        };
        for (caller_on_net, expected) in [(true, on_net), (false, off_net)] {
            let mut call = talking();
            call.caller_on_net = caller_on_net;

            let result = may_change(
                &settings,
                &mia(),
                Coaching::On,
                &call,
                Supervision::Monitoring,
                Supervision::Coaching(Ear::User),
            );

            assert_eq!(result, expected, "{policy:?}");
        }
    }
}

#[test]
fn a_listen_only_session_is_refused_every_speaking_role() {
    for wanted in SPEAKING {
        assert_eq!(
            may_change(
                &Settings::default(),
                &mia(),
                Coaching::Off,
                &talking(),
                Supervision::Monitoring,
                wanted
            ),
            Err(ErrorCode::CoachingOff)
        );
    }
    assert_eq!(
        may_change(
            &Settings::default(),
            &mia(),
            Coaching::Off,
            &talking(),
            Supervision::Monitoring,
            Supervision::Monitoring
        ),
        Ok(())
    );
}

#[test]
fn who_is_gone_decides_between_9013_and_9014() {
    let mut call = talking();
    for (pupil, user, expected) in [
        (false, true, Err(ErrorCode::PupilGone)),
        (false, false, Err(ErrorCode::PupilGone)),
        (true, false, Err(ErrorCode::UserGone)),
        (true, true, Ok(())),
    ] {
        call.pupil_on_call = pupil;
        call.user_on_call = user;
        for wanted in SPEAKING {
            assert_eq!(change(&mia(), &call, wanted), expected);
        }
    }
}

#[test]
fn the_gone_come_before_the_one_who_speaks_already() {
    let mut call = talking();
    call.others = vec![Supervision::Barged];
    assert_eq!(
        change(&mia(), &call, Supervision::Barged),
        Err(ErrorCode::CoachNotAdded)
    );

    call.user_on_call = false;
    assert_eq!(
        change(&mia(), &call, Supervision::Barged),
        Err(ErrorCode::UserGone)
    );
}

#[test]
fn a_second_speaking_supervisor_is_9012_unless_many_may() {
    let mut call = talking();
    for other in SPEAKING {
        call.others = vec![Supervision::Monitoring, other];
        for wanted in SPEAKING {
            assert_eq!(change(&mia(), &call, wanted), Err(ErrorCode::CoachNotAdded));
        }
        assert_eq!(change(&mia(), &call, Supervision::Monitoring), Ok(()));
    }

    let settings = Settings {
        many_speakers: true,
        ..Settings::default()
    };
    let allowed = may_change(
        &settings,
        &mia(),
        Coaching::On,
        &call,
        Supervision::Monitoring,
        Supervision::Barged,
    );
    assert_eq!(allowed, Ok(()));
}

#[test]
fn a_conference_that_a_phone_hosts_cannot_be_joined_or_spoken_in() {
    let call = CallFacts {
        hosted_elsewhere: true,
        ..talking()
    };

    let joined = may_join(&Settings::default(), &mia(), &call);
    assert_eq!(joined, Err(ErrorCode::CoachNotAdded));
    let coach = Supervision::Coaching(Ear::Pupil);
    assert_eq!(change(&mia(), &call, coach), Err(ErrorCode::CoachNotAdded));
    assert_eq!(change(&mia(), &call, Supervision::Monitoring), Ok(()));
    let gone = CallFacts {
        pupil_on_call: false,
        ..call
    };
    let joined = may_join(&Settings::default(), &mia(), &gone);
    assert_eq!(joined, Err(ErrorCode::PupilGone), "the fixed order");
}

#[test]
fn after_a_takeover_only_barge_is_true_already() {
    let mut call = talking();
    call.pupil_on_call = false;
    for wanted in SPEAKING.into_iter().chain([Supervision::Monitoring]) {
        let expected = match wanted {
            Supervision::Barged => Ok(()),
            Supervision::Monitoring | Supervision::Coaching(_) | Supervision::TakenOver => {
                Err(ErrorCode::PupilGone)
            }
        };
        let result = may_change(
            &Settings::default(),
            &mia(),
            Coaching::On,
            &call,
            Supervision::TakenOver,
            wanted,
        );
        assert_eq!(result, expected, "{wanted:?}");
    }
}

#[test]
fn the_notice_is_decided_from_the_agent_outwards() {
    use AgentNotice::{Silent, Tone};
    let settings = Settings::default();
    let mut directory = directory();
    let mut aino = aino();
    assert_eq!(agent_notice(&settings, &directory, &aino), Tone);

    let acme = directory.organisations.get_mut("acme").unwrap();
    acme.agent_notice = Some(Silent);
    assert_eq!(agent_notice(&settings, &directory, &aino), Silent);

    directory.pools.insert(
        ("acme".into(), "support".into()),
        Pool {
            organisation: "acme".into(),
            name: "support".into(),
            agent_notice: Some(Tone),
        },
    );
    assert_eq!(agent_notice(&settings, &directory, &aino), Tone);

    aino.agent_notice = Some(Silent);
    assert_eq!(agent_notice(&settings, &directory, &aino), Silent);
}

fn change(
    supervisor: &SupervisorEntry,
    call: &CallFacts<'_>,
    wanted: Supervision,
) -> Result<(), ErrorCode> {
    may_change(
        &Settings::default(),
        supervisor,
        Coaching::On,
        call,
        Supervision::Monitoring,
        wanted,
    )
}

fn talking() -> CallFacts<'static> {
    CallFacts {
        organisation: "acme",
        agent: "204",
        kind: CallKind::Pool,
        customer: Some("+358501112222"),
        user_extension: None,
        caller_on_net: true,
        pupil_on_call: true,
        hosted_elsewhere: false,
        user_on_call: true,
        others: Vec::new(),
    }
}

fn directory() -> Directory {
    let mut directory = Directory::default();
    let acme: Arc<str> = "acme".into();
    directory.organisations.insert(
        acme.clone(),
        Organisation {
            id: acme.clone(),
            name: acme,
            supervising_numbers: vec!["800".into()],
            supervision: true,
            agent_notice: None,
            help_keys: false,
        },
    );
    directory
}

fn aino() -> Agent {
    Agent {
        organisation: "acme".into(),
        extension: "204".into(),
        name: "Aino".into(),
        pools: vec!["support".into()],
        contact: None,
        agent_notice: None,
    }
}

fn mia() -> SupervisorEntry {
    SupervisorEntry {
        organisation: "acme".into(),
        user: "mia".into(),
        name: "Mia".into(),
        phone: Some("+358401234567".into()),
        default_country: Some("FI".into()),
        devices: Vec::new(),
        agent_extension: None,
        has_pin: false,
        pools: vec!["support".into()],
        may: Permissions::ALL,
        language: Language::default(),
    }
}
