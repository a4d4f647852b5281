//! The signalling edge against real sockets on loopback: phones that are a few lines of text here,
//! and a script in the place of call control.

mod calls;
#[path = "../common"]
mod common {
    pub mod folder;
    pub mod sipp;
}
mod dialogs;
mod flood;
mod hostile;
mod matching;
mod people;
mod phone;
mod sipp;
mod streams;
mod timers;
mod world;
