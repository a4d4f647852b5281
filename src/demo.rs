//! The whole product on loopback, without a phone or a PBX: `sottovoce demo` and `demo errors`.
//!
//! The service runs as its users run it, in a process of its own ([`service`]); simulated phones
//! ([`phone`], [`media`]) are a second, small SIP implementation, and [`ear`] measures who was
//! heard from the samples they received. Tests use the same phones.

pub mod desk;
pub mod ear;
pub mod errors;
pub mod keep;
pub mod measure;
pub mod media;
pub mod phone;
pub mod ports;
pub mod roles;
pub mod service;
pub mod stage;
pub mod timeline;
pub mod tones;
pub mod voices;
