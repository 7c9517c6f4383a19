/** @file
   The C API of Quern: library quern_c. C99, and C++; every language that can call C can use it.

   Memory. What a function gives through `TYPE** out` belongs to the caller, who frees it with the
   function that its comment names; `const` pointers that a function returns or an output holds are
   views, which live as long as their owner. Inputs are copied: they may go when the call returns.

   Forward compatibility. A struct that grows in later versions begins with struct_size, which the
   caller sets to sizeof: the library reads and writes no byte beyond it. Fields that a shorter
   struct lacks have the value 0, which always means "default"; a longer struct is accepted if what
   this version does not know is 0, else it is QUERN_UNSUPPORTED. Structs without struct_size never
   change. A soname (libquern_c.so.N) has one ABI, N = QUERN_ABI_VERSION.

   Errors. Functions that can fail return a status; other outputs are then NULL or 0. The message,
   one line that names file, key or option, expected and actual, is quern_engine_error() for calls
   with an engine, and for all calls quern_last_error() of the thread that called.

   Threads. One thread at a time may use a handle, with two exceptions: quern_engine_cancel() may be
   called from any thread, and tokenizers and chat templates are immutable, so that threads share
   them, also that of an engine while it runs. Different engines may run in different threads. The
   library changes nothing of its process: no signal handler, no current CUDA device, no setting of
   a BLAS library, no output. A child of fork() must not use its parent's handles. */
#ifndef QUERN_QUERN_H
#define QUERN_QUERN_H

#include "quern/c/base.h"
#include "quern/c/chat.h"
#include "quern/c/engine.h"
#include "quern/c/request.h"
#include "quern/c/tokenizer.h"

#endif /* QUERN_QUERN_H */
