//! Who reads, and whose calls come and go, beside the people of [`crate::stage`].

use std::path::Path;

use sottovoce::demo::service::Setup;

use crate::load::Plan;
use crate::stage;

/// One whose calls come and go.
pub const COMER: &str = "9000";
/// The password of everybody.
pub const PASSWORD: &str = "five hundred calls";
pub const SUPERVISOR: &str = "boss";
pub const ADMINISTRATOR: &str = "root";
const RTP_PORTS: &str = "12000-19999";

/// The stage's setup, but that all agents are of one pool, which the reader has; those who are
/// supervised keep their own beside it.
pub fn setup(dir: &Path, plan: Plan) -> Setup {
    let mut setup = stage::setup(dir, RTP_PORTS, plan.calls, plan.supervised);
    for call in (0..plan.calls).rev() {
        let own = format!("pool-{call}");
        let alone = format!("pools = [\"{own}\"]\ncontact");
        let pools = match call < plan.supervised {
            true => format!("pools = [\"floor\", \"{own}\"]\ncontact"),
            false => {
                setup.people = setup.people.replace(&stage::pool(&own), "");
                "pools = [\"floor\"]\ncontact".to_owned()
            }
        };
        setup.people = setup.people.replace(&alone, &pools);
    }
    setup.people += &stage::pool("floor");
    setup.people += &format!(
        "[[agent]]\norganisation = \"bench\"\nextension = \"{COMER}\"\nname = \"Comer\"\n\
         pools = [\"floor\"]\npassword = \"{PASSWORD}\"\n\
         [[supervisor]]\norganisation = \"bench\"\nuser = \"{SUPERVISOR}\"\nname = \"Boss\"\n\
         phone = \"+358409999999\"\npools = [\"floor\"]\npassword = \"{PASSWORD}\"\n\
         may = [\"monitor\", \"coach\", \"whisper_caller\", \"barge\", \"takeover\", \"hang_up\"]\n"
    );
    setup
}
