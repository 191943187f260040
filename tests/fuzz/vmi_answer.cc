#include "app/batch_message.h"
#include "fuzz.h"

// An answer as a compromised VMI partition may send it to an app; the first half is the request.
FUZZ(vmi_answer) {
  using namespace furnace;
  wire::VmiMessage request, answer;
  const size_t half = input.size() / 2;
  (void)request.ParseFromArray(input.data(), static_cast<int>(half));
  if (!answer.ParseFromArray(input.data() + half, static_cast<int>(input.size() - half))) return;
  (void)app::split_answer(answer);
  (void)app::batch_failure(request, answer);
}
