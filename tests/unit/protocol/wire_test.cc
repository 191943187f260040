// The wire format against the specification's own table, docs/spec/vmi-messages.tsv.
#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include "facilities.pb.h"
#include "protocol/calls.h"
#include "support.h"
#include "vmi.pb.h"

namespace furnace::protocol {
namespace {

using google::protobuf::FieldDescriptor;

struct Row {
  int number = 0;
  std::string name, cardinality, fields;
};

std::vector<Row> table() {
  std::ifstream file(FURNACE_SOURCE_DIR "/docs/spec/vmi-messages.tsv");
  std::vector<Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    Row row;
    std::istringstream columns(line);
    std::string number;
    std::getline(columns, number, '\t');
    std::getline(columns, row.name, '\t');
    std::getline(columns, row.cardinality, '\t');
    std::getline(columns, row.fields, '\t');
    row.number = std::stoi(number);
    rows.push_back(row);
  }
  return rows;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(c));
  return text;
}

/// The type of a field as the table writes it, "*" behind repeated ones.
std::string type_of(const FieldDescriptor& field) {
  std::string type = field.type_name();
  if (field.message_type() != nullptr) type = field.message_type()->name();
  if (field.enum_type() != nullptr) type = field.enum_type()->name();
  return type + (field.is_repeated() ? "*" : "");
}

TEST(VmiMessage, HasTheNumbersNamesAndTypesOfTheSpecification) {
  const auto& message = *wire::VmiMessage::descriptor();
  const auto rows = table();
  ASSERT_EQ(rows.size(), 126U);
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const FieldDescriptor* field = message.FindFieldByNumber(row.number);
    ASSERT_NE(field, nullptr);
    EXPECT_EQ(field->name(), row.name);
    EXPECT_EQ(field->is_repeated(), row.cardinality == "repeated");
    if (field->message_type() == nullptr) continue;
    const auto* type = wire::VmiMessage::Type_descriptor()->FindValueByName(upper(row.name));
    ASSERT_NE(type, nullptr);
    EXPECT_EQ(type->number(), row.number);

    std::istringstream fields(row.fields == "-" ? "" : row.fields);
    std::map<int, std::string> expected;
    for (std::string item; fields >> item;) {
      const size_t first = item.find(':');
      expected[std::stoi(item)] = item.substr(first + 1);
    }
    int index = 0;
    for (const auto& [number, name_and_type] : expected) {
      const FieldDescriptor* sub = field->message_type()->FindFieldByNumber(number);
      ASSERT_NE(sub, nullptr) << number;
      EXPECT_EQ(sub->name() + ":" + type_of(*sub), name_and_type);
      EXPECT_EQ(sub->index(), index++) << "links count fields in the table's order";
    }
    for (int i = 0; i < field->message_type()->field_count(); ++i) {
      const int number = field->message_type()->field(i)->number();
      EXPECT_TRUE(expected.contains(number) || number >= 200) << "what is new has numbers from 200 on";
    }
  }
}

TEST(VmiMessage, HasTheSpecifiedLinkage) {
  const auto& link = *wire::Linkage::descriptor();
  EXPECT_EQ(link.FindFieldByNumber(1)->name(), "prev_msg_ix");
  EXPECT_EQ(link.FindFieldByNumber(2)->name(), "prev_item_ix");
  EXPECT_EQ(link.FindFieldByNumber(3)->name(), "cur_item_ix");
  EXPECT_EQ(link.FindFieldByNumber(4)->name(), "operator");
  EXPECT_EQ(wire::Linkage::F_OVERWRITE, 3);
}

TEST(FacMessage, HasTheSpecifiedNumbers) {
  using facilities::FacMessage;
  EXPECT_EQ(FacMessage::GET, 1);
  EXPECT_EQ(FacMessage::BE_MSG_RET, 6);
  const std::map<int, std::string> fields{{1, "type"},    {2, "get"},     {3, "set"},       {4, "be_msg"},
                                          {5, "get_ret"}, {6, "set_ret"}, {7, "be_msg_ret"}};
  for (const auto& [number, name] : fields) {
    const FieldDescriptor* field = FacMessage::descriptor()->FindFieldByNumber(number);
    ASSERT_NE(field, nullptr);
    EXPECT_EQ(field->name(), name);
    EXPECT_TRUE(field->is_repeated());
  }
}

TEST(Calls, AreAllOfTheTableAndNewOnesFrom200On) {
  size_t requests = 0;
  for (const Row& row : table()) {
    const bool request =
        row.fields.rfind("(scalar", 0) != 0 && !row.name.ends_with("_ret") && row.name != "event";
    requests += request ? 1 : 0;
    EXPECT_EQ(find_call(row.number) != nullptr, request) << row.name;
    if (!request) continue;
    EXPECT_EQ(find_call(row.number)->name, row.name);
    EXPECT_EQ(find_call(std::string_view(row.name)), find_call(row.number));
  }
  EXPECT_EQ(
      std::count_if(calls().begin(), calls().end(), [](const Call& call) { return call.since() == "1.0"; }),
      61);
  EXPECT_EQ(requests, 61U);
}

TEST(Calls, NameArgumentsThatTheirRequestsHave) {
  for (const Call& call : calls()) {
    const auto& request = *wire::VmiMessage::descriptor()->FindFieldByNumber(call.number)->message_type();
    std::istringstream arguments{std::string(call.arguments)};
    for (std::string name; arguments >> name;)
      EXPECT_NE(request.FindFieldByName(name), nullptr) << call.name << " has no field " << name;
    EXPECT_FALSE(call.summary.empty()) << call.name;
  }
}

TEST(Calls, AreAnsweredByTheNextNumber) {
  EXPECT_EQ(find_call("read_64_va")->answer_number(), wire::VmiMessage::READ_64_VA_RET);
  EXPECT_EQ(find_call("status")->answer_number(), wire::VmiMessage::STATUS);
}

}  // namespace
}  // namespace furnace::protocol
