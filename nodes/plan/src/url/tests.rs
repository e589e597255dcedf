use proptest::prelude::*;

use super::*;

#[test]
fn urls_of_every_shape_are_read() {
    for (text, host, port, path, authority) in [
        ("http://localhost", "localhost", 80, "/", "localhost"),
        ("http://localhost/", "localhost", 80, "/", "localhost"),
        ("HTTP://LocalHost:8080/A", "localhost", 8080, "/A", "localhost:8080"),
        ("http://h:80/x", "h", 80, "/x", "h:80"),
        ("http://127.0.0.1:65535/a?b=c&d", "127.0.0.1", 65535, "/a?b=c&d", "127.0.0.1:65535"),
        ("http://[::1]/", "::1", 80, "/", "[::1]"),
        ("http://[0:0:0:0:0:0:0:1]:1/", "::1", 1, "/", "[::1]:1"),
        ("http://h?q=1", "h", 80, "/?q=1", "h"),
        ("http://h#top", "h", 80, "/", "h"),
        ("http://h/a#b", "h", 80, "/a", "h"),
        ("http://h/a?u=http://x/@y", "h", 80, "/a?u=http://x/@y", "h"),
        ("http://my_service.ns.svc./x", "my_service.ns.svc.", 80, "/x", "my_service.ns.svc."),
        ("http://h//x", "h", 80, "//x", "h"),
    ] {
        let expected =
            Url { host: host.to_owned(), port, path: path.to_owned(), authority: authority.to_owned() };
        assert_eq!(parse_url(text), Ok(expected), "{text}");
    }
}

#[test]
fn a_refusal_says_what_would_be_right() {
    for (text, message) in [
        ("", r#"the URL is empty; write "http://HOST/""#),
        ("localhost:8080/x", r#""localhost:8080/x" has no scheme; did you mean "http://localhost:8080/x"?"#),
        ("http:/h", r#""http:/h" has no scheme; did you mean "http://h"?"#),
        ("//h/x", r#""//h/x" has no scheme; did you mean "http://h/x"?"#),
        ("h/?u=http://x", r#""h/?u=http://x" has no scheme; did you mean "http://h/?u=http://x"?"#),
        ("https://h/", r#"https is not supported yet; use http:// ("https://h/")"#),
        ("ftp://h/", r#"scheme "ftp" is not supported; use http://"#),
        ("http://", r#""http://" has no host; write "http://HOST/""#),
        ("http:///x", r#""http:///x" has no host; write "http://HOST/""#),
        ("http://:80/", r#""http://:80/" has no host; write "http://HOST/""#),
        ("http://h:0/", r#"port "0" is not one; a port is 1 to 65535"#),
        ("http://h:99999/", r#"port "99999" is not one; a port is 1 to 65535"#),
        ("http://h:/", r#"port "" is not one; a port is 1 to 65535"#),
        ("http://h:+8/", r#"port "+8" is not one; a port is 1 to 65535"#),
        ("http://[::1]:0/", r#"port "0" is not one; a port is 1 to 65535"#),
        (
            "http://u:p@h/",
            r#""http://u:p@h/" holds a user name; send it as a header: authorization = "Basic …""#,
        ),
        ("http://::1/", r#""::1" looks like an IPv6 address; put it in brackets: "http://[::1]:8080/""#),
        ("http://[::1/", r#""[::1" lacks "]"; write "[::1]:8080""#),
        ("http://[::1]x/", r#""[::1]x" is not an address; write "[::1]:8080""#),
        ("http://[nope]/", r#""[nope]" is not an IPv6 address; write "[::1]""#),
        ("http://[fe80::1%25eth0]/", r#""[fe80::1%25eth0]" is not an IPv6 address; write "[::1]""#),
        ("http://1.2.3/", r#""1.2.3" is not an IPv4 address; write "127.0.0.1""#),
        ("http://1.2.3.256/", r#""1.2.3.256" is not an IPv4 address; write "127.0.0.1""#),
        ("http://b ü/", r#"host "b ü" is not ASCII; write its "xn--" form"#),
        ("http://a b/", r#"host "a b" holds " "; a host has letters, digits, "-" and ".""#),
        ("http://a\r\nb/", r#"host "a\r\nb" holds "\r"; a host has letters, digits, "-" and ".""#),
        (
            "http://a..b/",
            r#"host "a..b" is not a name: parts between dots have 1 to 63 letters, all together 253"#,
        ),
        ("http://h/a b", r#""/a b" holds a space; write it as %20"#),
        ("http://h/ü", r#""/ü" holds "ü"; write it as %C3%BC"#),
        ("http://h/\r\nx: y", r#""/\r\nx: y" holds "\r"; write it as %0D"#),
        ("http://h/\0", r#""/\0" holds "\0"; write it as %00"#),
    ] {
        assert_eq!(parse_url(text).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn a_url_past_eight_kib_is_refused() {
    let message = parse_url(&format!("http://h/{}", "x".repeat(9000))).unwrap_err().to_string();
    assert!(message.ends_with("is longer than 8 KiB, the most a URL may have"), "{message}");
}

#[test]
fn a_path_is_joined_to_the_target_with_one_slash() {
    for (target, path, joined) in [
        ("http://h", "/a", "/a"),
        ("http://h/", "/a?b", "/a?b"),
        ("http://h/api", "/a", "/api/a"),
        ("http://h/api/", "/", "/api/"),
    ] {
        assert_eq!(join(&parse_url(target).unwrap(), path).unwrap().path, joined);
    }
}

proptest! {
    #[test]
    fn no_text_panics_and_what_is_read_can_be_sent(text in "(http://)?.*") {
        if let Ok(url) = parse_url(&text) {
            prop_assert!(url.path.starts_with('/') && url.port > 0 && !url.host.is_empty());
            prop_assert!(url.path.bytes().chain(url.authority.bytes()).all(|b| b.is_ascii_graphic()));
        }
    }

    #[test]
    fn a_url_reads_back_from_its_parts(host in "[a-z][a-z0-9-]{0,20}", port in 1..=u16::MAX, path in "[a-z/?&=.]{0,30}") {
        let url = parse_url(&format!("http://{host}:{port}/{path}")).unwrap();
        prop_assert_eq!(parse_url(&format!("http://{}{}", url.authority, url.path)), Ok(url));
    }
}
