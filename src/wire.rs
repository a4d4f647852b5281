//! Bytes into values and back. Knows nothing of time, state or calls.

pub mod document;
pub mod g711;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub mod telephone_event;
pub mod wav;
