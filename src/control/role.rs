//! Who may say what to whom: the product in one match.

/// What a seat may say and hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Heard by all: the customer, and a supervisor who barged or took over.
    User,
    /// The agent.
    Pupil,
    /// Hears User and Pupil, heard by nobody.
    Monitor,
    /// Hears User and Pupil, heard by one ear.
    Coach(Ear),
}

/// The one who hears a coach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ear {
    Pupil,
    User,
}

impl Role {
    /// Whether a listener in this role hears a speaker in that one.
    pub fn hears(self, speaker: Role) -> bool {
        match (self, speaker) {
            (_, Role::User | Role::Pupil) => true,
            (_, Role::Monitor) => false,
            (Role::User, Role::Coach(ear)) => ear == Ear::User,
            (Role::Pupil, Role::Coach(ear)) => ear == Ear::Pupil,
            (Role::Monitor | Role::Coach(_), Role::Coach(_)) => false,
        }
    }
}

/// What a supervisor is doing in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Supervision {
    Monitoring,
    Coaching(Ear),
    Barged,
    TakenOver,
}

impl Supervision {
    /// The role of the supervisor's seat: barging and taking over make them a second User.
    pub fn role(self) -> Role {
        match self {
            Supervision::Monitoring => Role::Monitor,
            Supervision::Coaching(ear) => Role::Coach(ear),
            Supervision::Barged | Supervision::TakenOver => Role::User,
        }
    }

    /// Whether any party hears the supervisor.
    pub fn speaks(self) -> bool {
        self != Supervision::Monitoring
    }

    /// The name used by the API and the audit.
    pub fn name(self) -> &'static str {
        match self {
            Supervision::Monitoring => "monitor",
            Supervision::Coaching(Ear::Pupil) => "coach",
            Supervision::Coaching(Ear::User) => "whisper_caller",
            Supervision::Barged => "barge",
            Supervision::TakenOver => "takeover",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Role; 5] = [
        Role::User,
        Role::Pupil,
        Role::Monitor,
        Role::Coach(Ear::Pupil),
        Role::Coach(Ear::User),
    ];

    #[test]
    fn every_role_hears_exactly_what_the_contract_says() {
        // Rows are listeners, columns speakers, in the order of ALL.
        let contract = [
            [true, true, false, false, true],
            [true, true, false, true, false],
            [true, true, false, false, false],
            [true, true, false, false, false],
            [true, true, false, false, false],
        ];

        for (listener, row) in ALL.into_iter().zip(contract) {
            for (speaker, expected) in ALL.into_iter().zip(row) {
                assert_eq!(
                    listener.hears(speaker),
                    expected,
                    "{listener:?} hears {speaker:?}"
                );
            }
        }
    }
}
