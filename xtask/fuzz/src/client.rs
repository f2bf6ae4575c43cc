//! What a remote client reads from a server.

use sh0::fuzz;

/// Server-sent events: the same ones, however they are cut.
pub fn sse(data: &[u8]) {
    let Some((whole, chunks)) = crate::chunks(data) else { return };
    let events = fuzz::events([whole]);
    assert_eq!(events, fuzz::events(chunks));
    for (id, name, data) in events {
        assert!(id.is_none_or(|id| !id.contains(['\n', '\0'])) && !name.contains('\n'));
        assert!(data.len() <= whole.len() * 3, "three bytes stand for one that is not UTF-8");
    }
}

/// The body of an unsuccessful answer: always an error with a text, and a problem object comes back as it was.
pub fn problem(data: &[u8]) {
    for status in [400, 401, 404, 409, 413, 418, 422, 429, 500, 503, 507] {
        let error = fuzz::problem(status, data).unwrap();
        let body = serde_json::to_vec(&error.problem("id")).unwrap();
        let again = fuzz::problem(status, &body).unwrap();
        assert_eq!(again.problem("id"), error.problem("id"));
    }
}
