/* A stand-in for NCCL, for tests on machines without a GPU. It is not NCCL and moves nothing on a device: it
 * declares the few calls that Lamina uses, with NCCL's names, signatures, values and meaning, and carries
 * them out between threads and processes of one host over Unix sockets. Streams are threads (standin.hpp).
 *
 * Where NCCL leaves room the stand-in takes the strictest reading, so that what depends on luck hangs here:
 *   - a send completes only when its receive has taken it, however small it is;
 *   - the groups of a communicator run one after the other in the order of their calls, whatever the stream;
 * a group ends when all its operations have, and operations on one peer within a group run in their order;
 *   - the first use of an edge waits until the other end uses it too, and until then nothing is in the
 * stream;
 *   - after an error the stream stands still until ncclCommAbort.
 * It also complains of what NCCL leaves undefined: counts or types that differ between the ends, orders of
 * sends and receives between two ranks that cannot both proceed, calls while another is in progress, calls
 * after the communicator is gone, and calls from a second thread.
 */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct CUstream_st* cudaStream_t;
typedef struct ncclComm* ncclComm_t;

enum { NCCL_UNIQUE_ID_BYTES = 128 };
typedef struct {
  char internal[NCCL_UNIQUE_ID_BYTES];
} ncclUniqueId;

typedef enum {
  ncclSuccess = 0,
  ncclUnhandledCudaError = 1,
  ncclSystemError = 2,
  ncclInternalError = 3,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6,
  ncclInProgress = 7
} ncclResult_t;

typedef enum {
  ncclInt8 = 0,
  ncclUint8 = 1,
  ncclInt32 = 2,
  ncclUint32 = 3,
  ncclInt64 = 4,
  ncclUint64 = 5,
  ncclFloat16 = 6,
  ncclFloat32 = 7,
  ncclFloat64 = 8,
  ncclBfloat16 = 9
} ncclDataType_t;

/* NCCL's has more members. */
typedef struct {
  int blocking; /* the stand-in takes 0 alone */
} ncclConfig_t;
#define NCCL_CONFIG_INITIALIZER {1}

/* 2.99.0, a version that NCCL does not have. */
ncclResult_t ncclGetVersion(int* version);
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int nranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error);
ncclResult_t ncclCommFinalize(ncclComm_t comm);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclCommAbort(ncclComm_t comm);
const char* ncclGetErrorString(ncclResult_t result);
const char* ncclGetLastError(ncclComm_t comm);

ncclResult_t ncclGroupStart(void);
ncclResult_t ncclGroupEnd(void);
ncclResult_t ncclSend(const void* buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclRecv(void* buffer, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);

#ifdef __cplusplus
}
#endif
