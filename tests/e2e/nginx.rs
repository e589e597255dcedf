//! The same truth against a server that nobody here wrote.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::server::closed_port;
use crate::target::get;
use crate::{measured, number};

pub(crate) struct Nginx {
    child: Child,
    addr: String,
    _folder: tempfile::TempDir,
}

impl Nginx {
    /// Nothing, said aloud, where this host has none.
    pub(crate) fn start() -> Option<Self> {
        let found = ["/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"];
        let Some(binary) = found.into_iter().find(|path| Path::new(path).exists()) else {
            eprintln!("SKIPPED: no nginx on this host; `.ci/run` installs it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let addr = format!("127.0.0.1:{}", closed_port());
        let config = format!(
            "daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {at}; proxy_temp_path {at};\n\
             fastcgi_temp_path {at}; uwsgi_temp_path {at}; scgi_temp_path {at};\n\
             server {{ listen {addr} backlog=1024;\n\
             location = /stub {{ stub_status; }}\n\
             location / {{ return 200 'hello'; }} }} }}\n"
        );
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(binary);
        command
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&path)
            .arg("-e")
            .arg(folder.path().join("error.log"));
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let nginx = Self { child, addr, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(&nginx.addr).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(nginx)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Requests so far, this question included: `accepts handled requests` are its third line.
    pub(crate) fn requests(&self) -> u64 {
        let status = get(&self.addr, "/stub");
        let line = status.lines().nth(2).unwrap();
        line.split_whitespace().nth(2).unwrap().parse().unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master ends its workers, which a kill would leave behind.
        let _told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _reaped = self.child.wait();
    }
}

#[test]
fn nginx_served_exactly_what_a_counted_run_reports() {
    let Some(nginx) = Nginx::start() else { return };
    let url = nginx.url();
    for cores in ["0", "0-1"].into_iter().take(std::thread::available_parallelism().unwrap().get()) {
        for flags in
            [&["-n", "10007"][..], &["-n", "1009", "--disable-keepalive"], &["-n", "1009", "-q", "5k"]]
        {
            let before = nginx.requests();
            let args = [&["run", &url, "-c", "16", "--cores", cores], flags].concat();
            let summary = measured(&args);
            assert_eq!(summary["totals"]["requests"].to_string(), flags[1], "{args:?}");
            assert_eq!(summary["totals"]["errors"], 0, "{args:?}");
            // But for this question.
            assert_eq!((nginx.requests() - before - 1).to_string(), flags[1], "{args:?}");
        }
    }
}

#[test]
fn nginx_served_what_a_timed_run_reports_but_for_what_was_in_flight() {
    let Some(nginx) = Nginx::start() else { return };
    let url = nginx.url();
    for flags in [&[][..], &["--disable-keepalive"], &["-q", "1k"]] {
        let before = nginx.requests();
        let args = [&["run", &url, "-d", "1s", "-c", "8"], flags].concat();
        let summary = measured(&args);
        let (reported, cancelled) =
            (number(&summary["totals"]["requests"]), number(&summary["totals"]["cancelled"]));
        let served = nginx.requests() - before - 1;
        assert!(
            reported <= served && served <= reported + cancelled,
            "{args:?}: {reported} + {cancelled} against {served}"
        );
        assert!(cancelled <= 8, "{args:?}: {cancelled} cut off on 8 connections");
    }
}
