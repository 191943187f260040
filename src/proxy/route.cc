#include "proxy/route.h"

#include <set>

#include "base/file.h"
#include "base/text.h"
#include "base/toml_table.h"
#include "protocol/framing.h"

namespace furnace::proxy {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxRoutes = 10'000;
constexpr size_t kMaxMessageRoutes = 6'000;  // each takes ten sockets of the 65,535 that ZeroMQ has

Status read_endpoint(TomlTable& table, std::string_view key, Endpoint& endpoint) {
  std::string text;
  FURNACE_CHECK(table.take(key, text));
  auto parsed = parse_endpoint(text);
  if (!parsed) return table.invalid(fmt::format("'{}': {}", key, parsed.error().message()));
  endpoint = *std::move(parsed);
  return {};
}

Status read_key(TomlTable& table, std::string_view key, const fs::path& beside, fs::path& file) {
  std::string name;
  FURNACE_CHECK(table.take(key, name));
  if (!name.empty()) file = beside / name;
  return {};
}

Status read_route(TomlTable& table, const fs::path& file, Route& route) {
  std::string mode = "blind";
  uint64_t idle = 0;
  auto handshake = static_cast<uint64_t>(route.limits.handshake.count());
  FURNACE_CHECK(table.take("app", route.app));
  FURNACE_CHECK(table.take("mode", mode));
  FURNACE_CHECK(read_endpoint(table, "listen", route.inside));
  FURNACE_CHECK(read_endpoint(table, "backend", route.outside));
  FURNACE_CHECK(read_key(table, "app_key", file.parent_path(), route.app_key));
  FURNACE_CHECK(read_key(table, "backend_key", file.parent_path(), route.backend_key));
  FURNACE_CHECK(table.take("connections", route.limits.connections));
  FURNACE_CHECK(table.take("connections_per_address", route.limits.connections_per_address));
  FURNACE_CHECK(table.take("bytes_per_second", route.limits.bytes_per_second));
  FURNACE_CHECK(table.take("handshake_seconds", handshake));
  FURNACE_CHECK(table.take("idle_seconds", idle));
  route.limits.idle = std::chrono::seconds(std::min<uint64_t>(idle, UINT32_MAX));
  route.limits.handshake = std::chrono::seconds(std::min<uint64_t>(handshake, UINT32_MAX));
  if (auto good = protocol::check_app_id(route.app); !good)
    return table.invalid("'app': " + good.error().message());
  if (mode != "blind" && mode != "message") return table.invalid("'mode': expected blind or message");
  route.blind = mode == "blind";
  const bool has_keys = !route.app_key.empty() && !route.backend_key.empty();
  if (!route.blind && !has_keys)
    return table.invalid("a route of mode message needs 'app_key' and 'backend_key'");
  if (route.blind && (!route.app_key.empty() || !route.backend_key.empty()))
    return table.invalid("a blind route needs no keys: leave 'app_key' and 'backend_key' out");
  for (const char* name : {"idle_seconds", "handshake_seconds", "connections_per_address"})
    if (!route.blind && table.has(name))
      return table.invalid(
          fmt::format("'{}' is a limit of blind routes: a message route closes dead connections, and those "
                      "without a handshake, by itself",
                      name));
  return {};
}

}  // namespace

std::string to_text(const Endpoint& endpoint) {
  return protocol::tcp_address(endpoint.host, endpoint.port).substr(std::string_view("tcp://").size());
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  const auto parsed = furnace::parse_endpoint("address", text, bounds::kPairOfPorts);
  if (!parsed)
    return fail(Errc::Invalid,
                "'{}': expected \"HOST:PORT\", with a port from 1 to 65534 (the next one is used too)",
                text.substr(0, 80));
  return Endpoint{std::string(without_brackets(parsed->host)), parsed->port};
}

uint32_t share_of_descriptors(size_t routes, uint64_t descriptors) {
  constexpr uint64_t own = 128;          // of the process itself
  constexpr uint64_t of_route = 24;      // its listeners, and ZeroMQ's sockets of one that passes messages
  constexpr uint64_t of_connection = 6;  // two sockets, and a pipe each way
  constexpr uint64_t fewest = 4;         // a FAC partition has two, and two more while it connects again
  const uint64_t count = std::max<uint64_t>(routes, 1);
  const uint64_t taken = own + count * of_route;
  const uint64_t left = descriptors > taken ? descriptors - taken : 0;
  return static_cast<uint32_t>(std::clamp<uint64_t>(left / count / of_connection, fewest, UINT32_MAX));
}

bool Route::leads_as(const Route& other) const {
  const auto way = [](const Route& of) {
    return std::tie(of.app, of.blind, of.inside, of.outside, of.app_key, of.backend_key);
  };
  return way(*this) == way(other);
}

Result<std::vector<Route>> parse_routes(std::string_view text, const fs::path& file) {
  const std::string name = file.string();
  FURNACE_TRY(const toml::table document, parse_toml(text, name));
  TomlTable table(document, name);
  std::vector<Route> routes;
  std::set<Endpoint> used;
  std::set<std::string> apps;
  size_t message_routes = 0;
  FURNACE_CHECK(table.take_tables("route", [&](TomlTable& inner) -> Status {
    Route route;
    FURNACE_CHECK(read_route(inner, file, route));
    if (routes.size() >= kMaxRoutes) return inner.invalid(fmt::format("at most {} routes", kMaxRoutes));
    message_routes += route.blind ? 0 : 1;
    if (message_routes > kMaxMessageRoutes)
      return inner.invalid(fmt::format(
          "at most {} routes of mode message: start another proxy for the others", kMaxMessageRoutes));
    if (!apps.insert(route.app).second)
      return inner.invalid(fmt::format("there is a route of app '{}' already", route.app));
    for (const int offset : {0, 1})
      if (!used.insert({route.inside.host, static_cast<uint16_t>(route.inside.port + offset)}).second)
        return inner.invalid(
            fmt::format("'listen': another route uses {}:{}", route.inside.host, route.inside.port + offset));
    routes.push_back(std::move(route));
    return {};
  }));
  FURNACE_CHECK(table.finish());
  return routes;
}

Result<std::vector<Route>> load_routes(const fs::path& file) {
  FURNACE_TRY(const std::string text, read_file(file, 16 << 20));
  return parse_routes(text, file);
}

}  // namespace furnace::proxy
