//! Steps that a user gets wrong: the exact words, and the text under the carets.

use crate::marked;

/// Steps of a workflow that has a target; the text under the carets; the only error.
fn assert_steps_refused(cases: &[(&str, &str, &str)]) {
    for (steps, under, message) in cases {
        let text =
            format!("target = \"http://h\"\n[workflows.w]\nvus = 1\niterations = 1\nsteps = {steps}\n");
        assert_eq!(marked(&text), [((*under).to_owned(), (*message).to_owned())], "{steps}");
    }
}

#[test]
fn steps_that_are_no_request() {
    assert_steps_refused(&[
        ("[]", "[]", "workflows.w has no steps; write steps = [{ get = \"/\" }]"),
        ("\"/\"", "\"/\"", "\"steps\" must be a list of tables, such as [{ get = \"/\" }]; found text"),
        ("[\"/\"]", "\"/\"", "step 1 of workflows.w must be a table, such as { get = \"/\" }; found text"),
        (
            "[{ }]",
            "{ }",
            "step 1 of workflows.w asks for nothing; add get = \"/\", post = \"/\" or think = \"1s\"",
        ),
        ("[{ get = 5 }]", "5", "\"get\" must be text in quotes, such as \"/\"; found a whole number"),
        (
            "[{ get = \"/\", post = \"/\" }]",
            "post",
            "step 1 of workflows.w has get and post; a step is one request",
        ),
        (
            "[{ url = \"/\" }]",
            "url",
            "step 1 of workflows.w has \"url\" but no \"method\"; or write get = \"/\"",
        ),
        (
            "[{ method = \"GET\" }]",
            "method",
            "step 1 of workflows.w has \"method\" but no \"url\"; or write get = \"/\"",
        ),
        (
            "[{ method = \"get\", url = \"/\" }]",
            "\"get\"",
            "method \"get\" is written in capitals; write \"GET\"",
        ),
        (
            "[{ method = \"G T\", url = \"/\" }]",
            "\"G T\"",
            "\"G T\" is not a method; write for example \"GET\"",
        ),
        (
            "[{ method = \"CONNECT\", url = \"/\" }]",
            "\"CONNECT\"",
            "method \"CONNECT\" opens a tunnel and is not supported; use another one",
        ),
        ("[{ think = \"1s\" }]", "steps", "workflows.w only pauses; add a request, such as { get = \"/\" }"),
        (
            "[{ get = \"/\" }, { think = \"3s..1s\" }]",
            "\"3s..1s\"",
            "think \"3s..1s\" ends before it starts; write \"1s..3s\"",
        ),
        ("[{ get = \"/\" }, { think = \"2d\" }]", "\"2d\"", "think \"2d\" is longer than 1d"),
        (
            "[{ get = \"/\" }, { think = 1 }]",
            "1",
            "\"think\" must be text in quotes, such as \"1s..3s\" or \"500ms\"; found a whole number",
        ),
        (
            "[{ get = \"/\", think = \"1s\" }]",
            "get",
            "step 1 of workflows.w is a pause and has \"get\"; make them two steps",
        ),
        (
            "[{ get = \"/\", checks = [] }]",
            "checks",
            "\"checks\" in step 1 of workflows.w is not supported yet; remove it",
        ),
        (
            "[{ get = \"/\", nmae = \"x\" }]",
            "nmae",
            "unknown key \"nmae\" in step 1 of workflows.w; did you mean \"name\"?",
        ),
        ("[{ get = \"/\", name = \"\" }]", "\"\"", "\"name\" must have 1 to 128 characters, found 0"),
        (
            "[{ get = \"/\", name = \"a\" }, { get = \"/\", name = \"a\" }]",
            "\"a\"",
            "two steps of workflows.w are called \"a\"; give each its own name",
        ),
    ]);
}

#[test]
fn urls_headers_and_bodies_that_cannot_be_sent() {
    assert_steps_refused(&[
        (
            "[{ get = \"login\" }]",
            "\"login\"",
            "\"login\" is neither a path nor a URL; write \"/login\" or \"http://login\"",
        ),
        ("[{ get = \"/a b\" }]", "\"/a b\"", "\"/a b\" holds a space; write it as %20"),
        (
            "[{ get = \"https://h/\" }]",
            "\"https://h/\"",
            "https is not supported yet; use http:// (\"https://h/\")",
        ),
        ("[{ get = \"http://h:0/\" }]", "\"http://h:0/\"", "port \"0\" is not one; a port is 1 to 65535"),
        (
            "[{ get = \"/{{user}}\" }]",
            "\"/{{user}}\"",
            "\"{{user}}\" is not supported yet: values per iteration; use ${NAME} for one value a run",
        ),
        (
            "[{ post = \"/\", json = { token = \"{{missing}}\" } }]",
            "{ token = \"{{missing}}\" }",
            "\"{{missing}}\" is not supported yet: values per iteration; use ${NAME} for one value a run",
        ),
        (
            "[{ get = \"/\", headers = [] }]",
            "[]",
            "headers of step 1 of workflows.w must be a table, found a list",
        ),
        (
            "[{ get = \"/\", headers = { \"a b\" = \"x\" } }]",
            "\"a b\"",
            "\"a b\" is not a header name; use letters, digits and any of !#$%&'*+-.^_`|~",
        ),
        (
            "[{ get = \"/\", headers = { a = \"x\\r\\ny: z\" } }]",
            "\"x\\r\\ny: z\"",
            "the value of header \"a\" holds a carriage return; remove it",
        ),
        (
            "[{ get = \"/\", headers = { a = 5 } }]",
            "5",
            "header \"a\" must be text in quotes; found a whole number",
        ),
        (
            "[{ get = \"/\", headers = { a = [5] } }]",
            "5",
            "header \"a\" must be text in quotes; found a whole number",
        ),
        (
            "[{ get = \"/\", headers = { content-length = \"5\" } }]",
            "headers",
            "step 1 of workflows.w has content-length \"5\", its body has 0 bytes; remove it",
        ),
        (
            "[{ get = \"/\", headers = { Transfer-Encoding = \"chunked\" } }]",
            "headers",
            "step 1 of workflows.w has a \"transfer-encoding\" header; bodies are sent with their length; remove it",
        ),
        (
            "[{ post = \"/\", body = \"x\", json = 1 }]",
            "json",
            "step 1 of workflows.w has body and json; a request has one body",
        ),
        ("[{ post = \"/\", json = nan }]", "nan", "JSON has no infinity and no NaN; write a number"),
        (
            "[{ post = \"/\", body_base64 = \"a\" }]",
            "\"a\"",
            "\"body_base64\" is not base64 (A-Z a-z 0-9 + /, padded with =)",
        ),
        (
            "[{ post = \"/\", body_file = \"x\" }]",
            "\"x\"",
            "body_file \"x\" is read only where the plan's folder is; submit the plan from there",
        ),
    ]);
}
