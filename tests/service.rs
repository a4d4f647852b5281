//! The service in this process and phones beside it: how it ends while people talk.

use std::net::Ipv4Addr;
use std::path::Path;

use sottovoce::demo::phone::{Phone, PhoneConfig};
use sottovoce::edge::config::Config;
use sottovoce::edge::service;

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_outlast_the_patience_are_ended_for_both_parties() {
    let dir = std::env::temp_dir().join(format!("sottovoce-ends-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let people = dir.join("people.toml");
    std::fs::write(&people, PEOPLE).unwrap();
    let (here, elsewhere) = (address(1), address(2));
    let config = config(&dir, here, elsewhere);
    let service = service::start(config, Some(&people)).await.unwrap();
    let sip = service.sip_addrs()[0].addr;
    let mut agent = PhoneConfig::new("204", here.into(), sip);
    agent.password = Some("kettle".into());
    let mut agent = Phone::start(agent).await.unwrap();
    agent.register().await.unwrap();
    let customer = PhoneConfig::new("+358501234567", elsewhere.into(), sip);
    let customer = Phone::start(customer).await.unwrap();
    let (calling, called) = tokio::join!(customer.dial("204"), async {
        agent.incoming().await.unwrap().answer().await
    });
    let (calling, called) = (calling.unwrap(), called.unwrap());

    service.shutdown().await;

    calling.ended().await;
    called.ended().await;
    std::fs::remove_dir_all(&dir).unwrap();
}

const PEOPLE: &str = r#"
[[organisation]]
id = "acme"
name = "Acme"
supervising_numbers = ["800"]

[[agent]]
organisation = "acme"
extension = "204"
name = "Aino"
password = "kettle"
"#;

/// An address of loopback that no other run of the tests uses at the same time.
fn address(number: u8) -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 224 + ((number << 2) | (high & 3)), middle, low)
}

fn config(dir: &Path, ip: Ipv4Addr, trunk: Ipv4Addr) -> Config {
    let data = dir.display();
    let text = format!(
        "[node]\ndata_dir = \"{data}\"\n\
         [sip]\nlisten = [\"udp:{ip}:15060\"]\n\
         [rtp]\nbind = \"{ip}\"\nadvertise = \"{ip}\"\nports = \"20000-20199\"\nthreads = 1\n\
         [http]\nlisten = \"{ip}:18080\"\n\
         [database]\nurl = \"sqlite:{data}/test.db\"\n\
         [[trunk]]\nname = \"office\"\npeers = [\"{trunk}\"]\nuri = \"sip:{trunk}\"\n\
         [[route]]\nnumber = \"^2..$\"\nto = \"agent\"\n"
    );
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("sottovoce.toml");
    Config::parse(&here, &text, &|_| None).unwrap()
}
