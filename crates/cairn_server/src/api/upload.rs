//! Reading of bodies against the clock.
//!
//! Guarantees: a caller who sends nothing, or a little at a time, ends with an error instead of holding what the reading
//! holds. Only the time that is spent waiting for him counts, not the time that the server takes for what he sent.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cairn_model::limits::UPLOAD_RATE_BYTES_PER_S_MIN;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Instant, timeout};

use crate::error::{ApiError, Code};

/// Why a body was not read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UploadFault {
    /// It is over its limit.
    #[error("the body is too large")]
    TooLarge,
    /// The connection ended first.
    #[error("the body ended early")]
    EndedEarly,
    /// It came slower than the slowest rate allowed.
    #[error("the body came too slowly")]
    TooSlow,
}

impl UploadFault {
    /// As the caller is told; `size_bytes_max` is the limit of his body.
    pub fn told(self, size_bytes_max: usize) -> ApiError {
        match self {
            UploadFault::TooLarge => {
                let message = format!("The body is larger than {size_bytes_max} bytes.");
                ApiError::new(Code::TooLarge, message)
            }
            UploadFault::EndedEarly => {
                ApiError::new(Code::MalformedRequest, "The body ended early.")
            }
            UploadFault::TooSlow => {
                let message = format!(
                    "The body came slower than {UPLOAD_RATE_BYTES_PER_S_MIN} bytes a second."
                );
                ApiError::new(Code::TooSlow, message)
            }
        }
    }
}

/// A body that is being read.
pub struct Upload {
    body: Limited<Body>,
    /// Waiting that is free at any size, for what a network does to good callers.
    patience: Duration,
    waited: Duration,
    size_bytes: u64,
}

impl Upload {
    /// Begins to read at most `size_bytes_max`.
    pub fn new(body: Body, size_bytes_max: usize, patience: Duration) -> Self {
        let body = Limited::new(body, size_bytes_max);
        Upload { body, patience, waited: Duration::ZERO, size_bytes: 0 }
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, UploadFault> {
        loop {
            let begun = Instant::now();
            let left = allowed(self.patience, self.size_bytes).saturating_sub(self.waited);
            // What has arrived already is taken even if no time is left.
            let frame = timeout(left, self.body.frame()).await.map_err(|_| UploadFault::TooSlow)?;
            self.waited += begun.elapsed();
            let frame = match frame {
                None => return Ok(None),
                Some(Err(fault)) if fault.is::<LengthLimitError>() => {
                    return Err(UploadFault::TooLarge);
                }
                Some(Err(_)) => return Err(UploadFault::EndedEarly),
                Some(Ok(frame)) => frame,
            };
            if let Ok(data) = frame.into_data() {
                self.size_bytes += data.len() as u64;
                return Ok(Some(data));
            }
        }
    }

    /// The whole body.
    pub async fn whole(mut self) -> Result<Bytes, UploadFault> {
        let Some(first) = self.next().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.next().await? else { return Ok(first) };
        let mut joined = Vec::with_capacity((first.len() + second.len()) * 2);
        joined.extend_from_slice(&first);
        joined.extend_from_slice(&second);
        drop((first, second));
        while let Some(data) = self.next().await? {
            joined.extend_from_slice(&data);
        }
        Ok(Bytes::from(joined))
    }
}

/// How long the server waits in all for a caller who has sent this much.
fn allowed(patience: Duration, size_bytes: u64) -> Duration {
    patience + Duration::from_millis(size_bytes.saturating_mul(1000) / UPLOAD_RATE_BYTES_PER_S_MIN)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    use super::*;

    /// Gives its pieces one by one, and then nothing, without an end.
    struct Stalling(Vec<&'static [u8]>);

    impl hyper::body::Body for Stalling {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match self.0.is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0.remove(0)))))),
            }
        }
    }

    #[test]
    fn every_byte_buys_time() {
        let patience = Duration::from_secs(15);
        assert_eq!(allowed(patience, 0), patience);
        let mebibyte = Duration::from_secs((1 << 20) / UPLOAD_RATE_BYTES_PER_S_MIN);
        assert_eq!(allowed(patience, 1 << 20), patience + mebibyte);
        assert!(allowed(patience, 64 << 20) < Duration::from_secs(20 * 60), "even the largest");
    }

    #[tokio::test]
    async fn who_stops_sending_is_told() {
        let body = || Body::new(Stalling(vec![b"one", b"two"]));
        let mut upload = Upload::new(body(), 100, Duration::from_millis(20));
        assert_eq!(upload.next().await, Ok(Some(Bytes::from_static(b"one"))));
        assert_eq!(upload.next().await, Ok(Some(Bytes::from_static(b"two"))));
        assert_eq!(upload.next().await, Err(UploadFault::TooSlow));
        let none = Upload::new(body(), 100, Duration::ZERO);
        assert_eq!(none.whole().await, Err(UploadFault::TooSlow));
        assert_eq!(UploadFault::TooSlow.told(100).code.status(), 408);
    }

    #[tokio::test]
    async fn bodies_are_joined_up_to_their_limit() {
        let upload = |size| Upload::new(Body::from("abc"), size, Duration::ZERO);
        assert_eq!(upload(3).whole().await, Ok(Bytes::from_static(b"abc")));
        assert_eq!(upload(2).whole().await, Err(UploadFault::TooLarge));
    }
}
