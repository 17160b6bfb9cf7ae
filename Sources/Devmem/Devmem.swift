// SPDX-License-Identifier: Apache-2.0

// What comes with `import Devmem` besides its own: the pool and its handles, and of the system
// calls the types that this module and DevmemNet speak of (docs/public-api.md says why each).
@_exported public import DevmemPagePool
@_exported public import struct DevmemSystem.DMABufAccess
@_exported public import struct DevmemSystem.Errno
@_exported public import class DevmemSystem.EventPoll
@_exported public import struct DevmemSystem.IPAddress
@_exported public import class DevmemSystem.MemoryFile
@_exported public import struct DevmemSystem.OwnedFileDescriptor
@_exported public import enum DevmemSystem.PageSize
@_exported public import struct DevmemSystem.SteeringRule
@_exported public import struct DevmemSystem.TCPEndpoint
@_exported public import struct DevmemSystem.TCPSocket
@_exported public import class DevmemSystem.UnixSocket
