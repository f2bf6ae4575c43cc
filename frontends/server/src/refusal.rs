//! Errors as problem objects (RFC 9457).

use axum::Json;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sh0::{Code, Error};

use crate::guard::RequestId;

/// Why a request is not answered as it wished.
pub(crate) struct Refusal {
    error: Error,
    /// Where HTTP has a better word than the error's code.
    status: Option<StatusCode>,
}

impl Refusal {
    /// The request itself is wrong, before an operation has seen it.
    pub(crate) fn http(status: StatusCode, detail: impl Into<String>) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            StatusCode::REQUEST_TIMEOUT => Code::Timeout,
            _ => Code::Invalid,
        };
        Refusal { error: Error::new(code, detail), status: Some(status) }
    }

    pub(crate) fn respond(self, id: &RequestId) -> Response {
        let mut problem = self.error.problem(&*id.0);
        if problem.code == Code::Internal {
            tracing::error!(request_id = &*id.0, error = ?self.error, "a request failed");
        }
        let by_code = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let status = self.status.unwrap_or(by_code);
        problem.status = status.as_u16();
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"sh0\""));
        }
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { error, status: None }
    }
}
