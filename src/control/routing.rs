//! From roles to gains, and, worked out a second time from the other side, to the fence.
//!
//! [`matrix_for`] is the only road from a role to a gain: it asks `Role::hears` from the listener's
//! end. [`fence_for`] states the same promise from the speaker's end, in its own words, so that a
//! slip in one of them is silence and an alarm instead of a breach.

use crate::control::role::{Ear, Role};
use crate::id::Generation;
use crate::media::fence::Fence;
use crate::media::matrix::{Gain, MAX_SEATS, MixMatrix, Seat};

/// One occupied seat as the mix sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatState {
    pub seat: Seat,
    pub role: Role,
    pub presence: Presence,
}

/// Whether a seat takes part in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Present,
    /// A party whom the other one holds, where the policy does not let supervisors hear a held
    /// customer: between this seat and any supervisor's there is silence, both ways. What the
    /// parties hear of one another is not touched.
    Held,
}

impl SeatState {
    pub fn present(seat: Seat, role: Role) -> Self {
        Self {
            seat,
            role,
            presence: Presence::Present,
        }
    }

    pub fn held(seat: Seat, role: Role) -> Self {
        Self {
            seat,
            role,
            presence: Presence::Held,
        }
    }

    fn is_party(self) -> bool {
        self.seat == Seat::USER || self.seat == Seat::PUPIL
    }

    /// Whether a hold parts these two.
    fn parted_from(self, other: Self) -> bool {
        (self.presence == Presence::Held && !other.is_party())
            || (other.presence == Presence::Held && !self.is_party())
    }
}

/// Every ear's mix: whoever the listener's role hears, at unity.
pub fn matrix_for(generation: Generation, seats: &[SeatState]) -> MixMatrix {
    let mut matrix = MixMatrix::silent(generation);
    for listener in seats {
        for speaker in seats {
            if listener.seat != speaker.seat
                && listener.role.hears(speaker.role)
                && !listener.parted_from(*speaker)
            {
                matrix.set(listener.seat, speaker.seat, Gain::UNITY);
            }
        }
    }
    matrix
}

/// Who may be reached by whom, from the speaker's side: a monitor reaches nobody, the coach of an
/// ear reaches that ear alone, a held party reaches and is reached by the parties alone.
pub fn fence_for(seats: &[SeatState]) -> Fence {
    let mut roles = [None; MAX_SEATS];
    let mut held = [false; MAX_SEATS];
    for state in seats {
        roles[state.seat.index()] = Some(state.role);
        held[state.seat.index()] = state.presence == Presence::Held;
    }
    let beside_the_parties = |seat: Seat| seat.index() > Seat::PUPIL.index();

    let mut fence = Fence::closed();
    for speaker in Seat::all() {
        for listener in Seat::all().filter(|listener| *listener != speaker) {
            let reached = match (roles[speaker.index()], roles[listener.index()]) {
                (None, _) | (_, None) | (Some(Role::Monitor), Some(_)) => false,
                (Some(Role::Coach(Ear::Pupil)), Some(ear)) => ear == Role::Pupil,
                (Some(Role::Coach(Ear::User)), Some(ear)) => ear == Role::User,
                (Some(Role::User | Role::Pupil), Some(_)) => {
                    !(held[speaker.index()] && beside_the_parties(listener))
                }
            };
            if reached && !(held[listener.index()] && beside_the_parties(speaker)) {
                fence.open(listener, speaker);
            }
        }
    }
    fence
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATION: Generation = Generation(7);

    const SUPERVISING: [Role; 4] = [
        Role::Monitor,
        Role::Coach(Ear::Pupil),
        Role::Coach(Ear::User),
        Role::User,
    ];

    /// Every call with up to three supervisors in every role, with each party there or gone, and
    /// with the customer held or not.
    fn every_call() -> Vec<Vec<SeatState>> {
        let mut parties = vec![Vec::new()];
        let user = SeatState::present(Seat::USER, Role::User);
        let pupil = SeatState::present(Seat::PUPIL, Role::Pupil);
        let held = SeatState::held(Seat::USER, Role::User);
        parties.extend([
            vec![user],
            vec![pupil],
            vec![user, pupil],
            vec![held, pupil],
        ]);

        let mut calls = parties.clone();
        let mut last = parties;
        for seat in 2..5 {
            let seat = Seat::new(seat).unwrap();
            last = last
                .iter()
                .flat_map(|call| {
                    SUPERVISING.map(|role| {
                        let mut call = call.clone();
                        call.push(SeatState::present(seat, role));
                        call
                    })
                })
                .collect();
            calls.extend(last.clone());
        }
        calls
    }

    #[test]
    fn matrix_and_fence_agree_on_every_pair_of_every_call() {
        let calls = every_call();
        assert_eq!(calls.len(), 5 * (1 + 4 + 16 + 64));

        for call in calls {
            let matrix = matrix_for(GENERATION, &call);
            let fence = fence_for(&call);

            assert_eq!(matrix.generation, GENERATION);
            for listener in Seat::all() {
                for speaker in Seat::all().filter(|speaker| *speaker != listener) {
                    assert_eq!(
                        matrix.gain(listener, speaker) == Gain::UNITY,
                        fence.admits(listener, speaker),
                        "{listener:?} {speaker:?} {call:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn nobody_hears_more_than_their_role_allows() {
        for call in every_call() {
            let matrix = matrix_for(GENERATION, &call);

            for listener in Seat::all() {
                for speaker in Seat::all().filter(|speaker| *speaker != listener) {
                    let roles = [listener, speaker].map(|seat| {
                        call.iter()
                            .find(|state| state.seat == seat)
                            .map(|state| state.role)
                    });
                    let heard = matrix.gain(listener, speaker) != Gain::SILENT;
                    match roles {
                        [Some(ear), Some(mouth)] => assert!(!heard || ear.hears(mouth)),
                        _ => assert!(!heard, "an empty seat hears or is heard"),
                    }
                }
            }
        }
    }

    #[test]
    fn the_parties_hear_one_another_in_every_call() {
        for call in every_call() {
            let there = |seat| call.iter().any(|state| state.seat == seat);
            if there(Seat::USER) && there(Seat::PUPIL) {
                let matrix = matrix_for(GENERATION, &call);

                assert_eq!(matrix.gain(Seat::USER, Seat::PUPIL), Gain::UNITY);
                assert_eq!(matrix.gain(Seat::PUPIL, Seat::USER), Gain::UNITY);
            }
        }
    }

    #[test]
    fn a_user_never_hears_the_coach_of_a_pupil() {
        let coach = Seat::new(2).unwrap();

        let seats = call_with(Role::Coach(Ear::Pupil));

        assert!(!fence_for(&seats).admits(Seat::USER, coach));
        assert!(fence_for(&seats).admits(Seat::PUPIL, coach));
        assert_eq!(
            matrix_for(GENERATION, &seats).gain(Seat::USER, coach),
            Gain::SILENT
        );
    }

    #[test]
    fn supervisors_hear_one_another_only_as_users() {
        let [second, third] = [2, 3].map(|seat| Seat::new(seat).unwrap());
        for one in SUPERVISING {
            for other in SUPERVISING {
                let mut seats = call_with(one);
                seats.push(SeatState::present(third, other));

                let matrix = matrix_for(GENERATION, &seats);

                let heard = matrix.gain(second, third) != Gain::SILENT;
                let expected =
                    other == Role::User || (one == Role::User && other == Role::Coach(Ear::User));
                assert_eq!(heard, expected, "{one:?} hears {other:?}");
            }
        }
    }

    #[test]
    fn a_held_customer_and_a_supervisor_do_not_meet() {
        let supervisor = Seat::new(2).unwrap();
        for role in SUPERVISING {
            let mut seats = call_with(role);
            seats[0] = SeatState::held(Seat::USER, Role::User);

            let matrix = matrix_for(GENERATION, &seats);

            assert_eq!(matrix.gain(supervisor, Seat::USER), Gain::SILENT);
            assert_eq!(matrix.gain(Seat::USER, supervisor), Gain::SILENT);
            assert_eq!(matrix.gain(supervisor, Seat::PUPIL), Gain::UNITY);
            assert_eq!(matrix.gain(Seat::PUPIL, Seat::USER), Gain::UNITY);
        }
    }

    #[test]
    fn an_empty_call_is_silent_and_closed() {
        assert_eq!(matrix_for(GENERATION, &[]), MixMatrix::silent(GENERATION));
        assert_eq!(fence_for(&[]), Fence::closed());
    }

    fn call_with(role: Role) -> Vec<SeatState> {
        vec![
            SeatState::present(Seat::USER, Role::User),
            SeatState::present(Seat::PUPIL, Role::Pupil),
            SeatState::present(Seat::new(2).unwrap(), role),
        ]
    }
}
