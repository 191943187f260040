#include <curl/curl.h>

#include <nlohmann/json.hpp>

#include "backend/sinks/record.h"
#include "backend/sinks/sink.h"
#include "base/bytes.h"
#include "protocol/trace.h"

namespace furnace::backend {
namespace {

using nlohmann::ordered_json;

struct Release {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

size_t ignore(char* /*data*/, size_t size, size_t count, void* /*context*/) {
  return size * count;
}

class HttpSink : public Sink {
 public:
  using Format = std::string (*)(std::span<const Message>);

  HttpSink(std::string url, Format format)
      : url_(std::move(url)), format_(format), handle_(curl_easy_init()) {}

  Status open(const std::vector<std::string>& headers) {
    if (!url_.starts_with("http://") && !url_.starts_with("https://"))
      return fail(Errc::Invalid, "'{}': expected a URL, http://... or https://...", url_);
    if (handle_ == nullptr) return fail(Errc::Failed, "libcurl can't be used");
    append("Content-Type: application/json");
    for (const std::string& header : headers) append(header);
    CURL* handle = handle_.get();
    curl_easy_setopt(handle, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "furnace-backend");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    constexpr long seconds = 10;
    curl_easy_setopt(handle, CURLOPT_TIMEOUT, seconds);
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, ignore);
    return {};
  }

  Status write(std::span<const Message> messages) override {
    const std::string body = format_(messages);
    CURL* handle = handle_.get();
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.data());
    if (const CURLcode code = curl_easy_perform(handle); code != CURLE_OK)
      return fail(Errc::Unavailable, "{}: {}", url_, curl_easy_strerror(code));
    long status = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
    constexpr long ok = 200, redirect = 300;
    if (status < ok || status >= redirect) return fail(Errc::Unavailable, "{}: answered {}", url_, status);
    return {};
  }

 private:
  void append(const std::string& header) {
    headers_.reset(curl_slist_append(headers_.release(), header.c_str()));
  }

  std::string url_;
  Format format_;
  std::unique_ptr<curl_slist, Release> headers_;
  std::unique_ptr<CURL, Release> handle_;
};

std::string array_of(std::span<const Message> messages) {
  std::string body = "[";
  for (const Message& message : messages) body += (body.size() > 1 ? ",\n" : "") + to_json(message);
  return body + "]";
}

ordered_json attribute(const char* key, std::string_view value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}

ordered_json log_record(const Message& message) {
  // opentelemetry-proto, logs/v1/logs.proto in its JSON form: 64-bit numbers as text, ids in hex.
  constexpr int info = 9;
  ordered_json attributes = ordered_json::array(
      {attribute("furnace.app", message.app), attribute("furnace.kind", kind_of(message))});
  if (!message.id.empty()) attributes.push_back(attribute("furnace.id", message.id));
  ordered_json record{{"timeUnixNano", std::to_string(message.received_ns)},
                      {"observedTimeUnixNano", std::to_string(message.received_ns)},
                      {"severityNumber", info},
                      {"severityText", "INFO"},
                      {"attributes", std::move(attributes)}};
  if (message.is_bytes) {
    record["body"] = {{"bytesValue", to_base64(as_bytes(message.content))}};
  } else {
    record["body"] = {{"stringValue", valid_utf8(message.content)}};
  }
  if (const auto trace = protocol::parse_traceparent(message.traceparent); !trace.trace.empty()) {
    record["traceId"] = trace.trace;
    record["spanId"] = trace.span;
  }
  return record;
}

Result<std::unique_ptr<Sink>> http_sink(const std::string& url, const std::vector<std::string>& headers,
                                        HttpSink::Format format) {
  auto sink = std::make_unique<HttpSink>(url, format);
  FURNACE_CHECK(sink->open(headers));
  return sink;
}

}  // namespace

std::string otlp_body(std::span<const Message> messages) {
  ordered_json records = ordered_json::array();
  for (const Message& message : messages) records.push_back(log_record(message));
  const ordered_json scope{{"scope", {{"name", "furnace"}}}, {"logRecords", std::move(records)}};
  const ordered_json resource{
      {"resource", {{"attributes", ordered_json::array({attribute("service.name", "furnace-backend")})}}},
      {"scopeLogs", ordered_json::array({scope})}};
  return ordered_json{{"resourceLogs", ordered_json::array({resource})}}.dump();
}

Result<std::unique_ptr<Sink>> webhook_sink(const std::string& url, const std::vector<std::string>& headers) {
  return http_sink(url, headers, array_of);
}
Result<std::unique_ptr<Sink>> otlp_sink(const std::string& url, const std::vector<std::string>& headers) {
  return http_sink(url, headers, otlp_body);
}

}  // namespace furnace::backend
