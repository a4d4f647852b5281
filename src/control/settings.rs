//! How this node supervises, routes and negotiates: sottovoce.toml as far as control decides by it.
//! `edge::config` fills it in; the defaults are those of `deploy/sottovoce.toml`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use crate::control::directory::AgentNotice;
use crate::control::refusal::ErrorCode;
use crate::id::PromptId;
use crate::media::codec::Codec;

#[derive(Clone, Debug)]
pub struct Settings {
    pub agent_notice: AgentNotice,
    pub answer_unregistered: bool,
    pub supervisable: Supervisable,
    pub max_per_call: usize,
    /// `speaking = "many"`.
    pub many_speakers: bool,
    pub whisper_caller: WhisperCaller,
    pub takeover_confirm: bool,
    pub on_agent_hangup_in_barge: OnAgentHangUp,
    pub ticket_ttl: Duration,
    pub allow_unlisted_callout: bool,
    pub pin: PinPolicy,
    pub hear_held_customer: bool,
    pub follow_customer: bool,
    pub codes: Codes,
    pub codecs: Vec<Codec>,
    pub in_band_dtmf: InBandDtmf,
    pub routes: Vec<Route>,
    /// Prompt stems spoken for each code, in order.
    pub spoken: BTreeMap<ErrorCode, Vec<PromptId>>,
    /// Supervised calls at once, over all shards; 0: the shards refuse by load alone.
    pub max_conferences: usize,
    /// Media threads; a call lives on one.
    pub shards: u16,
    /// The fault point `conference-join` is armed.
    pub fault_conference_join: bool,
}

/// Which kinds of call may be supervised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervisable {
    pub pool: bool,
    pub outbound: bool,
    pub direct: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhisperCaller {
    OnNet,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAgentHangUp {
    Stay,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinPolicy {
    Never,
    /// Only where the caller ID is not trusted.
    Untrusted,
    Always,
    /// The registered number is called back instead.
    CallBack,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InBandDtmf {
    Auto,
    Always,
    Never,
}

/// The digit of each command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes {
    pub monitor: char,
    pub coach: char,
    pub barge: Vec<char>,
    pub takeover: char,
    pub whisper_caller: char,
    pub hang_up: char,
    pub next: char,
    pub accept_help: char,
    pub status: char,
}

/// First match wins, on the called number.
#[derive(Clone, Debug)]
pub struct Route {
    pub number: Regex,
    /// Trunk names, or `agents`; `None`: any, except external trunk to external trunk.
    pub from: Option<Vec<Arc<str>>>,
    pub to: RouteTarget,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// The agent whose extension was called.
    Agent,
    Trunk {
        name: Arc<str>,
        external: bool,
    },
    Pool(Arc<str>),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            agent_notice: AgentNotice::Tone,
            answer_unregistered: true,
            supervisable: Supervisable {
                pool: true,
                outbound: true,
                direct: true,
            },
            max_per_call: 4,
            many_speakers: false,
            whisper_caller: WhisperCaller::OnNet,
            takeover_confirm: false,
            on_agent_hangup_in_barge: OnAgentHangUp::Stay,
            ticket_ttl: Duration::from_secs(120),
            allow_unlisted_callout: false,
            pin: PinPolicy::Untrusted,
            hear_held_customer: false,
            follow_customer: false,
            codes: Codes::default(),
            codecs: vec![Codec::Pcmu, Codec::Pcma, Codec::Opus],
            in_band_dtmf: InBandDtmf::Auto,
            routes: Vec::new(),
            spoken: BTreeMap::new(),
            max_conferences: 0,
            shards: 1,
            fault_conference_join: false,
        }
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self {
            monitor: '5',
            coach: '4',
            barge: vec!['6', '0'],
            takeover: '1',
            whisper_caller: '8',
            hang_up: '7',
            next: '3',
            accept_help: '2',
            status: '9',
        }
    }
}
