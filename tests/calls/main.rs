//! Real calls on loopback: the service in a process of its own, simulated phones on a second SIP
//! implementation, and measurements of the audio that arrived.

mod b2bua;
mod bad_input;
mod holds;
mod kamailio;
mod keys;
mod lengths;
mod policy;
mod relay;
mod scene;
mod spoken;
mod supervising;
mod transfers;
mod undecodable;
mod whole;
mod wide;
mod words;
