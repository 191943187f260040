#include "guest/profile/btf.h"

#include "fuzz.h"

FUZZ(btf) {
  const auto btf = furnace::guest::Btf::parse(input);
  if (!btf) return;
  (void)btf->member("task_struct", "tasks.next");
  (void)btf->member("a", "b.c");
  (void)btf->size("task_struct");
}
