"""Facts: what is true of a class of rules, read from it as data and never guessed from its name.

A fact is a property with a default, which a subclass may override by a field, an attribute or a property. A plain
property cannot be: a field that has a default factory would find it in the way. A fact gives way to what an instance
holds.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    fact = property
else:

    class fact:
        """A default that fields, attributes and properties of subclasses override; read as a property is.

        >>> class Rule:
        ...     @fact
        ...     def pretraining(self):
        ...         return 0
        >>> class Patient(Rule):
        ...     pretraining = 2
        >>> Rule().pretraining, Patient().pretraining
        (0, 2)
        """

        def __init__(self, read: Any) -> None:
            self.read, self.__doc__ = read, read.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            # As a class's attribute it would be taken for the default of a field that has none.
            if instance is None:
                raise AttributeError(self.name)
            return self.read(instance)
