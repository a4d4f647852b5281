//! What a supervisor asked for, by key or click. Policy may refuse it.

use crate::control::role::{Ear, Supervision};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `5# 4# 8# 6# 0# 1#`
    Role(Supervision),
    /// `7#`: ends the call for everyone, after a second one.
    HangUp,
    /// `3#`
    Next,
    /// `2#`
    AcceptHelp,
    /// `9#`
    Status,
}

impl Order {
    /// Every order that a key can give.
    pub const ALL: [Self; 9] = [
        Order::Role(Supervision::Monitoring),
        Order::Role(Supervision::Coaching(Ear::Pupil)),
        Order::Role(Supervision::Coaching(Ear::User)),
        Order::Role(Supervision::Barged),
        Order::Role(Supervision::TakenOver),
        Order::HangUp,
        Order::Next,
        Order::AcceptHelp,
        Order::Status,
    ];

    /// The `action` of its audit row.
    pub fn action(self) -> &'static str {
        match self {
            Order::Role(Supervision::TakenOver) => "takeover",
            Order::Role(_) => "role",
            Order::HangUp => "hang_up",
            Order::Next => "next",
            Order::AcceptHelp => "accept_help",
            Order::Status => "status",
        }
    }
}
