//! Answers as bytes, the usual one rendered once.

use std::rc::Rc;

/// What one request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content: Content,
    /// The request was HEAD: the head only.
    pub(crate) head_only: bool,
    pub(crate) life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// As the configuration says.
    Body,
    Nothing,
    /// The counts at the time it is sent.
    Count,
}

/// What becomes of the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Keep,
    /// Kept, and said so: HTTP/1.0 wants to hear it.
    KeepOld,
    Close,
}

/// Renders answers.
#[derive(Debug)]
pub(crate) struct Renderer {
    body: Vec<u8>,
    /// A whole 200 on a kept HTTP/1.1 connection.
    usual: Rc<[u8]>,
}

impl Renderer {
    pub(crate) fn new(body_bytes: usize) -> Self {
        let body = vec![b'.'; body_bytes];
        let mut renderer = Self { body, usual: Rc::from([]) };
        let usual = Answer { status: 200, content: Content::Body, head_only: false, life: Life::Keep };
        let mut bytes = Vec::new();
        renderer.render(usual, "", &mut bytes);
        renderer.usual = bytes.into();
        renderer
    }

    /// Appends an answer. `count` is the text that [`Content::Count`] sends.
    pub(crate) fn render(&self, answer: Answer, count: &str, out: &mut Vec<u8>) {
        let Answer { status, content, head_only, life } = answer;
        let body = match content {
            Content::Body => self.body.as_slice(),
            Content::Nothing => &[],
            Content::Count => count.as_bytes(),
        };
        let connection = match life {
            Life::Keep => "",
            Life::KeepOld => "Connection: keep-alive\r\n",
            Life::Close => "Connection: close\r\n",
        };
        let kind = if content == Content::Count { "application/json" } else { "text/plain" };
        let head = if status == 204 || status == 304 {
            format!("HTTP/1.1 {status} {}\r\n{connection}\r\n", reason(status))
        } else {
            let length = body.len();
            format!(
                "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{connection}\r\n",
                reason(status)
            )
        };
        out.extend_from_slice(head.as_bytes());
        if !head_only && status != 204 && status != 304 {
            out.extend_from_slice(body);
        }
    }

    /// The bytes of the usual answer, where `answer` is one.
    pub(crate) fn usual(&self, answer: Answer) -> Option<&Rc<[u8]>> {
        let usual = answer.status == 200
            && answer.content == Content::Body
            && !answer.head_only
            && answer.life == Life::Keep;
        usual.then_some(&self.usual)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "As Asked",
    }
}
