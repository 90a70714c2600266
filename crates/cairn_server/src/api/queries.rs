//! Several questions about one site in one request: `POST /api/v2/queries` (docs/queries.md).
//!
//! Guarantees: each question has the answer, the status and the limits that it would have alone; an answer is sent as soon as
//! it is there, so that a slow one keeps no other waiting; access is checked once. What the store counts for several of them
//! in one pass is asked for first; then they begin in the order asked, a few at a time, so that one request never takes all of
//! the store's places.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use utoipa::ToSchema;

use super::body::{Fields, missing, parse, read_body, require_json, wrong_type};
use super::live::Messages;
use cairn_engine::report::{self, Prefetched};

use super::query::{Asked, QueryBody, Surroundings, named_site};
use crate::App;
use crate::auth::Caller;
use crate::error::{ApiError, Code};

/// Questions of one request.
const QUERIES_MAX: usize = 24;
/// Questions of one request that are answered at the same time.
const AT_ONCE_MAX: usize = 4;
/// Requests that are answered at the same time.
const REQUESTS_MAX: usize = 64;

static PLACES: Semaphore = Semaphore::const_new(REQUESTS_MAX);

/// Questions about one site.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that `Fields` reads")]
#[schema(as = Queries)]
pub struct QueriesBody {
    /// Number or domain of the site; questions need not repeat it.
    pub site_id: String,
    /// At most 24 questions; those first that shall be answered first.
    pub queries: Vec<QueryBody>,
}

/// One line of the answer.
#[derive(Serialize, ToSchema)]
pub struct QueriesLine {
    /// Which question it answers, from 0.
    pub index: usize,
    /// HTTP status that the question would have alone.
    pub status: u16,
    /// Its answer, or its error.
    #[schema(value_type = Object)]
    pub body: Value,
}

/// Answers several questions about one site: a line of JSON for each (`application/x-ndjson`), as soon as it is answered. A site
/// that the caller may not see is answered with 401.
#[utoipa::path(post, path = "/api/v2/queries", tag = "queries", request_body = QueriesBody,
    responses((status = 200, content_type = "application/x-ndjson", body = QueriesLine)))]
pub async fn ask(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    require_json(request.headers())?;
    let now_ms = app.now_ms(request.headers());
    let body = parse(&read_body(request).await?)?;
    if !body.is_object() {
        return Err(ApiError::new(Code::MalformedRequest, "The body must be a JSON object."));
    }
    let access = named_site(&app, &caller, &body).await?;
    let mut fields = Fields::new(body)?;
    let site = fields.take("site_id").unwrap_or_default();
    let questions = fields.take("queries").ok_or_else(|| missing("queries"))?;
    fields.finish()?;
    let Value::Array(questions) = questions else { return Err(wrong_type("queries", "a list")) };
    if questions.len() > QUERIES_MAX {
        let message = format!("There may be at most {QUERIES_MAX} questions.");
        return Err(ApiError::invalid("queries", message));
    }
    let overloaded = || ApiError::new(Code::Overloaded, "Too many questions are being answered.");
    let place = PLACES.try_acquire().map_err(|_| overloaded())?;
    let about = Arc::new(Surroundings::of(&app, access.site()).await?);
    // Room for every line: a slow reader keeps no question waiting.
    let (sender, lines) = mpsc::channel(QUERIES_MAX);
    let list = List { app, about, site, now_ms, _place: place };
    tokio::spawn(list.answer(questions, sender));
    let mut response = Response::new(Body::new(Messages(lines)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    // Asks nginx not to hold lines back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// What the questions of a request have in common.
struct List {
    app: Arc<App>,
    about: Arc<Surroundings>,
    /// The site as the request names it.
    site: Value,
    now_ms: i64,
    _place: SemaphorePermit<'static>,
}

/// The questions of a request, ready to be answered.
struct Ready {
    list: List,
    questions: Vec<Result<Asked, ApiError>>,
    prefetched: Arc<Prefetched>,
    /// The first question that nobody works on.
    next: AtomicUsize,
}

impl List {
    async fn answer(self, questions: Vec<Value>, sender: mpsc::Sender<Bytes>) {
        let mut asked = Vec::with_capacity(questions.len());
        for question in questions {
            asked.push(self.asked(question).await);
        }
        let prefetched = self.prefetch(&asked).await;
        let workers = asked.len().min(AT_ONCE_MAX);
        let next = AtomicUsize::new(0);
        let ready = Arc::new(Ready { list: self, questions: asked, prefetched, next });
        for _ in 0..workers {
            tokio::spawn(Arc::clone(&ready).work(sender.clone()));
        }
    }

    async fn asked(&self, mut question: Value) -> Result<Asked, ApiError> {
        let Some(fields) = question.as_object_mut() else {
            return Err(ApiError::new(Code::InvalidQuery, "A question must be a JSON object."));
        };
        let named = fields.entry("site_id").or_insert_with(|| self.site.clone());
        if *named != self.site {
            let message = "All questions of a request are about the site that it names.";
            return Err(ApiError::new(Code::InvalidQuery, message).on("#/site_id"));
        }
        Asked::new(&self.app, Arc::clone(&self.about), question, self.now_ms).await
    }

    /// Nothing where the store cannot: each question is told alone why.
    async fn prefetch(&self, asked: &[Result<Asked, ApiError>]) -> Arc<Prefetched> {
        let asked: Vec<Asked> = asked.iter().flatten().cloned().collect();
        let (held, now_ms) = (Arc::clone(&self.app), self.now_ms);
        let found = super::with_store(&self.app, move |store| match asked.first() {
            Some(first) => {
                let bodies = asked.iter().map(|one| &one.body);
                report::prefetch(store, first.site(&held), bodies, now_ms)
            }
            None => Prefetched::default(),
        });
        Arc::new(found.await.unwrap_or_default())
    }
}

impl Ready {
    /// Answers one question after the other, as long as there are some and somebody listens.
    async fn work(self: Arc<Self>, sender: mpsc::Sender<Bytes>) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(question) = self.questions.get(index) else { return };
            let (status, body) = match self.answer(question).await {
                Ok(body) => (200, body),
                Err(error) => (error.code.status().as_u16(), json!(error.body())),
            };
            let line = json!(QueriesLine { index, status, body });
            if sender.send(Bytes::from(format!("{line}\n"))).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, question: &Result<Asked, ApiError>) -> Result<Value, ApiError> {
        let asked = question.clone()?;
        asked.answer_after(&self.list.app, Arc::clone(&self.prefetched)).await
    }
}
