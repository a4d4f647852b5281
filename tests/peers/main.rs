//! Peers that are not ours: sipp as carrier and as agent, baresip as the supervisor's phone.
//!
//! Both come from Debian (`sip-tester`, `baresip`); `./run test` installs them. A test whose peer is
//! missing fails and says so.

mod baresip;
#[path = "../common"]
mod common {
    pub mod folder;
    pub mod sipp;
}
mod sipp;
