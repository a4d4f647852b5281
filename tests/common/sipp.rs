//! One `sipp`, from Debian's sip-tester: a peer that is nobody of ours.
//!
//! As caller it is at home with UDP. As the called side it is given TCP (`-t t1`): over UDP its
//! scenarios fail a call for every repeat that crosses with an answer, an INVITE after their 200 or
//! an ACK after the BYE, which are as they should be (RFC 3261 §13.2.2.4, §17.1.1.2) and happen
//! wherever a machine is busy for half a second.

use std::fs::File;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A port that is free now; sipp wants to be told one, and its address is its own.
pub fn free_port(ip: &str) -> SocketAddr {
    let socket = UdpSocket::bind((ip, 0)).expect("a port");
    socket.local_addr().expect("an address")
}

pub struct Sipp {
    name: &'static str,
    at: SocketAddr,
    child: Child,
    errors: PathBuf,
    screen: PathBuf,
}

impl Sipp {
    /// Starts one that calls, or takes calls, at that address. What it writes goes into the folder:
    /// into a pipe that nobody reads it would write until it stands.
    pub fn start(folder: &Path, name: &'static str, at: SocketAddr, arguments: &[&str]) -> Self {
        let errors = folder.join(format!("{name}.errors"));
        let screen = folder.join(format!("{name}.screen"));
        let output = File::create(&screen).expect("a file");
        let child = Command::new("sipp")
            .args(arguments)
            .args(["-i", &at.ip().to_string(), "-p", &at.port().to_string()])
            .args(["-nostdin", "-timeout", "120", "-timeout_error"])
            .args(["-trace_err", "-error_file"])
            .arg(&errors)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("the same file"))
            .stdout(output)
            .spawn()
            .expect("sipp is installed (Debian package sip-tester; ./run test installs it)");
        Self {
            name,
            at,
            child,
            errors,
            screen,
        }
    }

    /// Waits until it takes calls over TCP: a datagram would be sent again, a connection is refused.
    pub fn listening(mut self) -> Self {
        while TcpStream::connect(self.at).is_err() {
            if self.child.try_wait().expect("its status").is_some() {
                self.assert_content();
                panic!("sipp ended before it was called");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// With what sipp has to say, if a call of it failed.
    pub fn assert_content(mut self) {
        let status = self.child.wait().expect("sipp ends");
        if status.success() {
            return;
        }
        let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let screen = std::fs::read_to_string(&self.screen).unwrap_or_default();
        let lines: Vec<&str> = screen.lines().collect();
        panic!(
            "sipp as {} ended with {status}; what it met first:\n{}\nits last words:\n{}",
            self.name,
            errors.lines().take(60).collect::<Vec<_>>().join("\n"),
            lines[lines.len().saturating_sub(60)..].join("\n"),
        );
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
