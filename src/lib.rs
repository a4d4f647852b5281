//! sottovoce: supervise live calls from any telephone.
//!
//! A SIP B2BUA between the User (the customer) and the Pupil (the agent). It anchors their RTP and
//! lets a supervisor monitor, coach, barge or take over, by keypad or from a console. Two promises
//! shape everything: nobody hears what their role may not hear, at any instant; and supervision
//! touches only the ears it must.
//!
//! # The map
//!
//! ```text
//!             commands, imperative                        │
//!    edge ──────────────▶ control ──────────────▶ media ──┼──▶ RTP
//!    sip, http, store     calls, roles, menus     bridges │
//!         ◀──────────────         ◀──────────────         ◀──── RTP
//!             events, past tense                          │
//! ```
//!
//! Four floors and the ground they stand on. Imports point down only; `tests/layering.rs` reads
//! every `crate::` path and keeps it so.
//!
//! | floor | may import | knows nothing of |
//! | --- | --- | --- |
//! | [`id`] | – | everything |
//! | [`wire`] | `id` | time, state, calls |
//! | [`media`] | `wire`, `id` | roles, SIP, sockets, threads |
//! | [`control`] | `wire::sdp`, `id`, and from `media` its counter: `command`, `matrix`, `fence`, `codec`, `dtmf::Digit` | jitter, samples, sockets, HTTP, SQL |
//! | [`edge`] | all floors; edge modules do not import one another, but for those that join them: the service, and the pages | – |
//! | [`demo`] | `wire`, `id`, the service | the service's own SIP stack |
//!
//! `wire`, `media` and `control` are pure: no socket, file, thread, task, clock, environment or
//! unseeded chance. They are told the time (`now` first in every `handle_*`) and asked what follows
//! (`poll_*` until `None`).

pub mod id;

pub mod wire;

pub mod media;

pub mod control;

pub mod edge;

pub mod demo;
