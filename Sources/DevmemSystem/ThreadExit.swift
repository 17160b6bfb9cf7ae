// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// What a thread does last (`pthread_key_create` with a destructor).
public enum ThreadExit {
  private final class Actions {
    var list: [() -> Void] = []
  }

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    let code = unsafe pthread_key_create(&key) { pointer in
      guard let pointer = unsafe pointer else { return }
      let actions = unsafe Unmanaged<Actions>.fromOpaque(pointer).takeRetainedValue()
      for action in actions.list.reversed() { action() }
    }
    precondition(code == 0, "no thread-specific key is left (PTHREAD_KEYS_MAX)")
    return key
  }()

  /// Runs `action` on the calling thread when that thread ends, last added first.
  ///
  /// The main thread ends with the process, without running any.
  public static func perform(_ action: @escaping () -> Void) {
    if let pointer = unsafe pthread_getspecific(key) {
      unsafe Unmanaged<Actions>.fromOpaque(pointer).takeUnretainedValue().list.append(action)
      return
    }
    let actions = Actions()
    actions.list.append(action)
    let code = unsafe pthread_setspecific(key, Unmanaged.passRetained(actions).toOpaque())
    precondition(code == 0, "no memory for thread-specific data")
  }
}
