//! Acme: its routes, its prompts, its people.

use std::sync::Arc;

use sottovoce::control::directory::{
    Agent, Directory, Organisation, Permissions, Pool, SupervisorEntry,
};
use sottovoce::control::refusal::ErrorCode;
use sottovoce::control::settings::{Route, RouteTarget, Settings};
use sottovoce::id::{Language, PromptId};
use sottovoce::media::prompt::PromptLibrary;
use sottovoce::wire::wav::Wav;

use crate::world::{AGENT, LEO, MIA, SECOND_AGENT};

pub fn settings() -> Settings {
    let route = |number: &str, to: RouteTarget| Route {
        number: regex::Regex::new(number).expect("a route"),
        from: None,
        to,
    };
    Settings {
        routes: vec![
            route("^2\\d\\d$", RouteTarget::Agent),
            route("^support$", RouteTarget::Pool("support".into())),
            route(
                "^\\+?\\d{5,}$",
                RouteTarget::Trunk {
                    name: "mobile".into(),
                    external: true,
                },
            ),
        ],
        spoken: ErrorCode::ALL
            .into_iter()
            .map(|code| {
                (
                    code,
                    vec![
                        PromptId("9"),
                        PromptId("0"),
                        PromptId("1"),
                        PromptId("error"),
                    ],
                )
            })
            .collect(),
        shards: 3,
        ..Settings::default()
    }
}

/// Every prompt is 400 ms of one tone that no phone speaks.
pub fn prompts() -> PromptLibrary {
    let samples: Vec<i16> = (0..6400)
        .map(|n| {
            let angle = std::f32::consts::TAU * crate::phone::PROMPT_HZ * n as f32 / 16_000.0;
            (3000.0 * angle.sin()) as i16
        })
        .collect();
    let wav = Wav {
        rate_hz: 16_000,
        samples,
    };
    let mut library = PromptLibrary::empty();
    let stems = include_str!("../../../prompts/en.txt")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(stem, _)| stem);
    for stem in stems.chain(["error"]) {
        library.add(Language::default(), PromptId(stem), &wav);
    }
    library
}

pub fn directory() -> Directory {
    let acme: Arc<str> = "acme".into();
    let agent = |extension: &str| Agent {
        organisation: acme.clone(),
        extension: extension.into(),
        name: extension.into(),
        pools: vec!["support".into()],
        contact: Some(format!("sip:{extension}@10.1.0.9").into()),
        agent_notice: None,
    };
    let supervisor = |user: &str, phone: &str| SupervisorEntry {
        organisation: acme.clone(),
        user: user.into(),
        name: user.into(),
        phone: Some(phone.into()),
        default_country: Some("FI".into()),
        devices: vec![phone.into()],
        agent_extension: None,
        has_pin: true,
        pools: vec!["support".into()],
        may: Permissions::ALL,
        language: Language::default(),
    };
    let mut directory = Directory::default();
    directory.organisations.insert(
        acme.clone(),
        Organisation {
            id: acme.clone(),
            name: "Acme".into(),
            supervising_numbers: vec!["800".into()],
            supervision: true,
            agent_notice: None,
            help_keys: true,
        },
    );
    directory.pools.insert(
        (acme.clone(), "support".into()),
        Pool {
            organisation: acme.clone(),
            name: "support".into(),
            agent_notice: None,
        },
    );
    for extension in [AGENT, SECOND_AGENT] {
        directory
            .agents
            .insert((acme.clone(), extension.into()), agent(extension));
    }
    for (user, phone) in [("mia", MIA), ("leo", LEO)] {
        directory
            .supervisors
            .insert((acme.clone(), user.into()), supervisor(user, phone));
    }
    directory
}
